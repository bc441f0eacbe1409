package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/btcsuite/btcd/btcec/v2"
	sphinx "github.com/lightningnetwork/lightning-onion"
	"github.com/lightningnetwork/lnd/htlcswitch/hop"
	"github.com/lightningnetwork/lnd/lnwire"
	"github.com/lightningnetwork/lnd/record"
	"github.com/lightningnetwork/lnd/tlv"
)

// elsewhere names the params of payload.decode that LND judges in its switch and its invoices, not
// where it reads a payload.
var elsewhere = []string{
	"block_height", "min_final_cltv_expiry_delta", "expected_msat", "channel", "channels",
	"features_used", "known", "dialect", "outer", "encrypted_data",
}

// payloadDecode puts the payload into an onion for a node of ours and lets LND read it as it reads
// the onion of an HTLC.
func payloadDecode(p params) (object, error) {
	position, err := p.text("position")
	if err != nil {
		return nil, err
	}
	var final, blinded bool
	switch position {
	case "intermediate":
	case "final":
		final = true
	case "blinded-intermediate":
		blinded = true
	case "blinded-final":
		final, blinded = true, true
	case "trampoline", "trampoline-final":
		return nil, unsupported("LND has no trampoline payments")
	default:
		return nil, invalid("param position is %s, which is none", position)
	}
	for _, name := range elsewhere {
		if p.has(name) {
			return nil, unsupported("LND does not judge %s where it reads a payload", name)
		}
	}
	if blinded && !(p.has("amount_msat") && p.has("cltv_expiry")) {
		return nil, unsupported("inside a blinded route LND reads a payload with its HTLC alone")
	}
	if p.has("amount_msat") && !blinded {
		return nil, unsupported("LND compares amounts and expiries in its switch")
	}
	framed, err := p.bytes("payload")
	if err != nil {
		return nil, err
	}
	payload, err := hopPayload(framed)
	if err != nil {
		return nil, err
	}
	secret := bytes32Of(0x41)
	if p.has("node_secret") {
		if secret, err = p.bytes32("node_secret"); err != nil {
			return nil, err
		}
	}
	node := readSecretKey(secret)
	info := hop.ReconstructBlindingInfo{}
	if p.has("amount_msat") {
		amount, err := p.u64("amount_msat")
		if err != nil {
			return nil, err
		}
		info.IncomingAmt = lnwire.MilliSatoshi(amount)
	}
	if p.has("cltv_expiry") {
		if info.IncomingExpiry, err = p.u32("cltv_expiry"); err != nil {
			return nil, err
		}
	}
	addressed := node.PubKey()
	var pathKey *btcec.PublicKey
	if p.has("path_key") {
		key, err := p.publicKey("path_key")
		if err != nil {
			return nil, err
		}
		pathKey = key
		info.BlindingKey = tlv.SomeRecordT(
			tlv.NewPrimitiveRecord[lnwire.BlindingPointTlvType](key),
		)
		if addressed, err = tweaked(node, key); err != nil {
			return nil, err
		}
	}
	packet, err := onionFor(addressed, payload, final)
	if err != nil {
		return nil, err
	}
	replays := sphinx.NewMemoryReplayLog()
	if err := replays.Start(); err != nil {
		return nil, err
	}
	router := sphinx.NewRouter(&sphinx.PrivKeyECDH{PrivKey: node}, replays)
	iterator, err := hop.NewOnionProcessor(router).ReconstructHopIterator(
		bytes.NewReader(packet), make([]byte, 32), info,
	)
	if err != nil {
		return nil, err
	}
	read, _, err := iterator.HopPayload()
	if err != nil {
		return nil, err
	}
	result, err := shownPayload(read, payload.Payload, final)
	if err != nil || read.EncryptedData() == nil {
		return result, err
	}
	if pathKey == nil {
		pathKey = read.BlindingPoint()
	}
	// LND opens data in the bytes that it lies in, so they are read once more.
	parsed, _, err := hop.ParseTLVPayload(bytes.NewReader(payload.Payload))
	if err != nil {
		return nil, err
	}
	sealed := parsed.EncryptedData()
	result["encrypted_recipient_data"] = hex.EncodeToString(sealed)
	plain, err := router.DecryptBlindedHopData(pathKey, sealed)
	if err != nil {
		return nil, err
	}
	if result["encrypted_data"], err = shownData(plain); err != nil {
		return nil, err
	}
	return result, nil
}

// shownData is what LND reads in the data of a blinded route.
func shownData(plain []byte) (object, error) {
	data, err := record.DecodeBlindedRouteData(bytes.NewReader(plain))
	if err != nil {
		return nil, err
	}
	shown := object{}
	data.ShortChannelID.WhenSome(func(
		id tlv.RecordT[tlv.TlvType2, lnwire.ShortChannelID]) {

		shown["short_channel_id"] = decimal(id.Val.ToUint64())
	})
	data.NextNodeID.WhenSome(func(id tlv.RecordT[tlv.TlvType4, *btcec.PublicKey]) {
		shown["next_node_id"] = hex.EncodeToString(id.Val.SerializeCompressed())
	})
	data.PathID.WhenSome(func(id tlv.RecordT[tlv.TlvType6, []byte]) {
		shown["path_id"] = hex.EncodeToString(id.Val)
	})
	data.NextBlindingOverride.WhenSome(func(
		key tlv.RecordT[tlv.TlvType8, *btcec.PublicKey]) {

		shown["next_path_key_override"] = hex.EncodeToString(key.Val.SerializeCompressed())
	})
	data.RelayInfo.WhenSome(func(
		relay tlv.RecordT[tlv.TlvType10, record.PaymentRelayInfo]) {

		shown["payment_relay"] = object{
			"cltv_expiry_delta":           relay.Val.CltvExpiryDelta,
			"fee_proportional_millionths": relay.Val.FeeRate,
			"fee_base_msat":               uint32(relay.Val.BaseFee),
		}
	})
	data.Constraints.WhenSome(func(
		limits tlv.RecordT[tlv.TlvType12, record.PaymentConstraints]) {

		shown["payment_constraints"] = object{
			"max_cltv_expiry":   limits.Val.MaxCltvExpiry,
			"htlc_minimum_msat": decimal(uint64(limits.Val.HtlcMinimumMsat)),
		}
	})
	return shown, nil
}

func bytes32Of(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b
	}
	return out
}

// tweaked is the blinded id of the node for a path key: BOLT 4, route blinding.
func tweaked(node *btcec.PrivateKey, pathKey *btcec.PublicKey) (*btcec.PublicKey, error) {
	shared, err := (&sphinx.PrivKeyECDH{PrivKey: node}).ECDH(pathKey)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte("blinded_node_id"))
	mac.Write(shared[:])
	var tweak btcec.ModNScalar
	tweak.SetByteSlice(mac.Sum(nil))
	return btcec.PrivKeyFromScalar(tweak.Mul(&node.Key)).PubKey(), nil
}

// onionFor is an onion with that payload for the node, and with a further hop behind it unless it is
// the final one.
func onionFor(node *btcec.PublicKey, payload sphinx.HopPayload, final bool) ([]byte, error) {
	path := sphinx.PaymentPath{{NodePub: *node, HopPayload: payload}}
	if !final {
		next, err := sphinx.NewTLVHopPayload([]byte{1, 0})
		if err != nil {
			return nil, err
		}
		path[1] = sphinx.OnionHop{
			NodePub: *readSecretKey(bytes32Of(0x42)).PubKey(), HopPayload: next,
		}
	}
	packet, err := sphinx.NewOnionPacket(
		&path, readSecretKey(bytes32Of(0x43)), make([]byte, 32), sphinx.BlankPacketFiller,
	)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := packet.Encode(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// shownPayload is what LND has read. Inside a blinded route amount and expiry are those that it
// passes on.
func shownPayload(read *hop.Payload, stream []byte, final bool) (object, error) {
	result := object{}
	// The channel has another form in older versions of LND, so it is read once more.
	var channel uint64
	known, err := tlv.NewStream(record.NewNextHopIDRecord(&channel))
	if err != nil {
		return nil, err
	}
	types, err := known.DecodeWithParsedTypes(bytes.NewReader(stream))
	if err != nil {
		return nil, err
	}
	if _, ok := types[record.NextHopOnionType]; ok {
		result["short_channel_id"] = decimal(channel)
	}
	info := read.ForwardingInfo()
	amount, expiry := decimal(uint64(info.AmountToForward)), info.OutgoingCLTV
	if read.EncryptedData() != nil && !final {
		result["forward"] = object{"amount_msat": amount, "cltv_expiry": expiry}
	} else {
		// What a blinded recipient forwards is nothing, so its own fields are read once more.
		parsed, _, err := hop.ParseTLVPayload(bytes.NewReader(stream))
		if err != nil {
			return nil, err
		}
		fields := parsed.ForwardingInfo()
		result["amt_to_forward"] = decimal(uint64(fields.AmountToForward))
		result["outgoing_cltv_value"] = fields.OutgoingCLTV
	}
	info.NextBlinding.WhenSome(func(
		next tlv.RecordT[lnwire.BlindingPointTlvType, *btcec.PublicKey]) {

		result["next_path_key"] = hex.EncodeToString(next.Val.SerializeCompressed())
	})
	if key := read.BlindingPoint(); key != nil {
		result["current_path_key"] = hex.EncodeToString(key.SerializeCompressed())
	}
	if mpp := read.MultiPath(); mpp != nil {
		secret := mpp.PaymentAddr()
		result["payment_data"] = object{
			"payment_secret": hex.EncodeToString(secret[:]),
			"total_msat":     decimal(uint64(mpp.TotalMsat())),
		}
	}
	if metadata := read.Metadata(); metadata != nil {
		result["payment_metadata"] = hex.EncodeToString(metadata)
	}
	if total := read.TotalAmtMsat(); total != 0 {
		result["total_amount_msat"] = decimal(uint64(total))
	}
	return result, nil
}

// blindedPathBuild makes a blinded path from a session key.
func blindedPathBuild(p params) (object, error) {
	session, err := p.bytes32("session_key")
	if err != nil {
		return nil, err
	}
	hops, err := p.objects("hops")
	if err != nil {
		return nil, err
	}
	nodes := make([]*sphinx.HopInfo, len(hops))
	for i, entry := range hops {
		key, err := entry.publicKey("pubkey")
		if err != nil {
			return nil, err
		}
		data, err := entry.bytes("encrypted_data")
		if err != nil {
			return nil, err
		}
		nodes[i] = &sphinx.HopInfo{NodePub: key, PlainText: data}
	}
	made, err := sphinx.BuildBlindedPath(readSecretKey(session), nodes)
	if err != nil {
		return nil, err
	}
	shown := make([]object, len(made.Path.BlindedHops))
	for i, blinded := range made.Path.BlindedHops {
		shown[i] = object{
			"blinded_node_id": hex.EncodeToString(
				blinded.BlindedNodePub.SerializeCompressed(),
			),
			"encrypted_recipient_data": hex.EncodeToString(blinded.CipherText),
		}
	}
	return object{
		"first_node_id": hex.EncodeToString(
			made.Path.IntroductionPoint.SerializeCompressed(),
		),
		"first_path_key": hex.EncodeToString(made.Path.BlindingPoint.SerializeCompressed()),
		"hops":           shown,
	}, nil
}

// blindedPathUnblind opens the data of a hop and, as LND reads it, says which path key follows.
func blindedPathUnblind(p params) (object, error) {
	secret, err := p.bytes32("node_secret")
	if err != nil {
		return nil, err
	}
	key, err := p.publicKey("path_key")
	if err != nil {
		return nil, err
	}
	var sealed []byte
	if p.has("encrypted_recipient_data") {
		if sealed, err = p.bytes("encrypted_recipient_data"); err != nil {
			return nil, err
		}
	}
	router := sphinx.NewRouter(
		&sphinx.PrivKeyECDH{PrivKey: readSecretKey(secret)}, sphinx.NewMemoryReplayLog(),
	)
	plain, err := router.DecryptBlindedHopData(key, sealed)
	if err != nil {
		return nil, err
	}
	data, err := record.DecodeBlindedRouteData(bytes.NewReader(plain))
	if err != nil {
		return nil, err
	}
	derived, err := router.NextEphemeral(key)
	if err != nil {
		return nil, err
	}
	next := derived
	data.NextBlindingOverride.WhenSome(func(
		override tlv.RecordT[tlv.TlvType8, *btcec.PublicKey]) {

		next = override.Val
	})
	return object{
		"tlvs":             hex.EncodeToString(plain),
		"next_path_key":    hex.EncodeToString(next.SerializeCompressed()),
		"derived_path_key": hex.EncodeToString(derived.SerializeCompressed()),
	}, nil
}
