package main

import (
	"bytes"
	"encoding/hex"

	"github.com/btcsuite/btcd/btcec/v2"
	sphinx "github.com/lightningnetwork/lightning-onion"
	"github.com/lightningnetwork/lnd/lnwire"
	"github.com/lightningnetwork/lnd/tlv"
)

// onionSize is the size in bytes of the payloads of an onion for payments, which all versions of
// LND build where they are asked for no other. Older ones build no other.
const onionSize = 1300

// packetFrame is what a packet has beside its payloads: version, key and HMAC.
const packetFrame = 1 + 33 + 32

// hopPayload is a payload with its length in front, as the operations have it, in LND's form.
func hopPayload(raw []byte) (sphinx.HopPayload, error) {
	in := bytes.NewReader(raw)
	var scratch [8]byte
	length, err := tlv.ReadVarInt(in, &scratch)
	if err != nil {
		return sphinx.HopPayload{}, err
	}
	if length != uint64(in.Len()) {
		return sphinx.HopPayload{}, invalid("a payload has %d bytes and says %d", in.Len(), length)
	}
	return sphinx.NewTLVHopPayload(raw[len(raw)-in.Len():])
}

// onionBuild fills the rest of the onion from the session key, as BOLT 4 has it; LND itself does so
// for payments.
func onionBuild(p params) (object, error) {
	session, err := p.bytes32("session_key")
	if err != nil {
		return nil, err
	}
	associated, err := p.bytes("associated_data")
	if err != nil {
		return nil, err
	}
	hops, err := p.objects("hops")
	if err != nil {
		return nil, err
	}
	if p.has("size") {
		size, err := p.u32("size")
		if err != nil {
			return nil, err
		}
		if size != onionSize {
			return nil, unsupported("this adapter builds onions for payments, of %d bytes", onionSize)
		}
	}
	if len(hops) > sphinx.NumMaxHops {
		return nil, invalid("%d hops; LND has up to %d", len(hops), sphinx.NumMaxHops)
	}
	var path sphinx.PaymentPath
	for i, hop := range hops {
		key, err := hop.publicKey("pubkey")
		if err != nil {
			return nil, err
		}
		raw, err := hop.bytes("payload")
		if err != nil {
			return nil, err
		}
		payload, err := hopPayload(raw)
		if err != nil {
			return nil, err
		}
		path[i] = sphinx.OnionHop{NodePub: *key, HopPayload: payload}
	}
	sessionKey := readSecretKey(session)
	packet, err := sphinx.NewOnionPacket(
		&path, sessionKey, associated, sphinx.DeterministicPacketFiller,
	)
	if err != nil {
		return nil, err
	}
	onion, err := encodePacket(packet)
	if err != nil {
		return nil, err
	}
	secrets, err := sharedSecrets(sessionKey, path.NodeKeys())
	if err != nil {
		return nil, err
	}
	return object{"onion": onion, "shared_secrets": secrets}, nil
}

// sharedSecrets are those of the payer, hop by hop.
func sharedSecrets(session *btcec.PrivateKey, nodes []*btcec.PublicKey) ([]string, error) {
	secrets := make([]string, len(nodes))
	for i, node := range nodes {
		ephemeral := &sphinx.PrivKeyECDH{PrivKey: session}
		secret, err := ephemeral.ECDH(node)
		if err != nil {
			return nil, err
		}
		secrets[i] = hex.EncodeToString(secret[:])
		if session, err = sphinx.NextEphemeralPriv(ephemeral, node); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}

func encodePacket(packet *sphinx.OnionPacket) (string, error) {
	var out bytes.Buffer
	if err := packet.Encode(&out); err != nil {
		return "", err
	}
	return hex.EncodeToString(out.Bytes()), nil
}

// peeled is what one hop finds.
type peeled struct {
	payload, sharedSecret string
	// next is nil at the last hop.
	next *sphinx.OnionPacket
}

func peel(
	secret [32]byte, packet *sphinx.OnionPacket, associated []byte,
	opts ...sphinx.ProcessOnionOpt,
) (*peeled, error) {

	// A log of its own: a replay of an earlier request is none.
	replays := sphinx.NewMemoryReplayLog()
	if err := replays.Start(); err != nil {
		return nil, err
	}
	router := sphinx.NewRouter(&sphinx.PrivKeyECDH{PrivKey: readSecretKey(secret)}, replays)
	found, err := router.ProcessOnionPacket(packet, associated, 0, opts...)
	if err != nil {
		return nil, err
	}
	var payload bytes.Buffer
	if err := found.Payload.Encode(&payload); err != nil {
		return nil, err
	}
	// LND writes the HMAC of the next packet behind the payload.
	raw := payload.Bytes()[:payload.Len()-sphinx.HMACSize]
	encrypter, err := sphinx.NewOnionErrorEncrypter(router, packet.EphemeralKey, opts...)
	if err != nil {
		return nil, err
	}
	var shared bytes.Buffer
	if err := encrypter.Encode(&shared); err != nil {
		return nil, err
	}
	hop := &peeled{
		payload:      hex.EncodeToString(raw),
		sharedSecret: hex.EncodeToString(shared.Bytes()),
	}
	if found.Action != sphinx.ExitNode {
		hop.next = found.NextPacket
	}
	return hop, nil
}

// packetParams are the params that onion.peel and onion.peel_route share.
func packetParams(p params) (*sphinx.OnionPacket, []byte, error) {
	raw, err := p.bytes("onion")
	if err != nil {
		return nil, nil, err
	}
	associated, err := p.bytes("associated_data")
	if err != nil {
		return nil, nil, err
	}
	var packet sphinx.OnionPacket
	if err := packet.Decode(bytes.NewReader(raw)); err != nil {
		return nil, nil, err
	}
	return &packet, associated, nil
}

func onionPeel(p params) (object, error) {
	secret, err := p.bytes32("node_secret")
	if err != nil {
		return nil, err
	}
	packet, associated, err := packetParams(p)
	if err != nil {
		return nil, err
	}
	if p.has("size") {
		size, err := p.u32("size")
		if err != nil {
			return nil, err
		}
		raw, err := p.bytes("onion")
		if err != nil {
			return nil, err
		}
		if size != onionSize || len(raw) != onionSize+packetFrame {
			return nil, unsupported("the message of an HTLC has %d bytes for the onion, so that "+
				"no other length reaches LND's packages", onionSize+packetFrame)
		}
	}
	var opts []sphinx.ProcessOnionOpt
	if p.has("path_key") {
		key, err := p.publicKey("path_key")
		if err != nil {
			return nil, err
		}
		opts = append(opts, sphinx.WithBlindingPoint(key))
	}
	hop, err := peel(secret, packet, associated, opts...)
	if err != nil {
		return nil, err
	}
	result := object{"payload": hop.payload, "shared_secret": hop.sharedSecret}
	if hop.next != nil {
		if result["next_onion"], err = encodePacket(hop.next); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func onionPeelRoute(p params) (object, error) {
	entries, err := p.strings("node_secrets")
	if err != nil {
		return nil, err
	}
	secrets := make([][32]byte, len(entries))
	for i, entry := range entries {
		if secrets[i], err = entry.bytes32("node_secrets"); err != nil {
			return nil, err
		}
	}
	packet, associated, err := packetParams(p)
	if err != nil {
		return nil, err
	}
	payloads, shared := []string{}, []string{}
	for i, secret := range secrets {
		if packet == nil {
			return nil, invalid("hop %d of %d is the last", i-1, len(secrets))
		}
		hop, err := peel(secret, packet, associated)
		if err != nil {
			return nil, invalid("hop %d: %v", i, err)
		}
		payloads = append(payloads, hop.payload)
		shared = append(shared, hop.sharedSecret)
		packet = hop.next
	}
	return object{"payloads": payloads, "shared_secrets": shared}, nil
}

func errorEncrypter(p params) (*sphinx.OnionErrorEncrypter, error) {
	shared, err := p.bytes32("shared_secret")
	if err != nil {
		return nil, err
	}
	var encrypter sphinx.OnionErrorEncrypter
	if err := encrypter.Decode(bytes.NewReader(shared[:])); err != nil {
		return nil, err
	}
	return &encrypter, nil
}

// failureCreate makes the packet of the hop that fails: the failure as LND reads, writes and pads
// it, with its HMAC, encrypted once.
func failureCreate(p params) (object, error) {
	if p.has("pad_to") {
		return nil, unsupported("LND pads failures as it does")
	}
	encrypter, err := errorEncrypter(p)
	if err != nil {
		return nil, err
	}
	raw, err := p.bytes("failure")
	if err != nil {
		return nil, err
	}
	failure, err := lnwire.DecodeFailureMessage(bytes.NewReader(raw), 0)
	if err != nil {
		return nil, err
	}
	var padded bytes.Buffer
	if err := lnwire.EncodeFailure(&padded, failure, 0); err != nil {
		return nil, err
	}
	packet := encrypter.EncryptError(true, padded.Bytes())
	return object{"packet": hex.EncodeToString(packet)}, nil
}

func failureWrap(p params) (object, error) {
	encrypter, err := errorEncrypter(p)
	if err != nil {
		return nil, err
	}
	packet, err := p.bytes("packet")
	if err != nil {
		return nil, err
	}
	return object{"packet": hex.EncodeToString(encrypter.EncryptError(false, packet))}, nil
}
