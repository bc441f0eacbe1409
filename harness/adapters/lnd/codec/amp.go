package main

import (
	"bytes"
	"encoding/hex"

	"github.com/lightningnetwork/lnd/amp"
	"github.com/lightningnetwork/lnd/record"
	"github.com/lightningnetwork/lnd/tlv"
)

// checkDialect lets through the form of AMP that LND has.
func checkDialect(p params) error {
	if !p.has("dialect") {
		return nil
	}
	asked, err := p.text("dialect")
	if err != nil {
		return err
	}
	if asked != dialect {
		return unsupported("LND has no dialect %s", asked)
	}
	return nil
}

func ampChild(p params) (object, error) {
	if err := checkDialect(p); err != nil {
		return nil, err
	}
	root, err := p.bytes32("root")
	if err != nil {
		return nil, err
	}
	share, err := p.bytes32("share")
	if err != nil {
		return nil, err
	}
	index, err := p.u32("index")
	if err != nil {
		return nil, err
	}
	child := amp.DeriveChild(amp.Share(root), amp.ChildDesc{Share: share, Index: index})
	return object{
		"preimage":     hex.EncodeToString(child.Preimage[:]),
		"payment_hash": hex.EncodeToString(child.Hash[:]),
	}, nil
}

func ampReconstruct(p params) (object, error) {
	if err := checkDialect(p); err != nil {
		return nil, err
	}
	children, err := p.objects("children")
	if err != nil {
		return nil, err
	}
	descs := make([]amp.ChildDesc, len(children))
	hashes := make([][32]byte, len(children))
	var root amp.Share
	for i, child := range children {
		share, err := child.bytes32("share")
		if err != nil {
			return nil, err
		}
		index, err := child.u32("index")
		if err != nil {
			return nil, err
		}
		if hashes[i], err = child.bytes32("payment_hash"); err != nil {
			return nil, err
		}
		descs[i] = amp.ChildDesc{Share: share, Index: index}
		root.Xor(&root, &descs[i].Share)
	}
	preimages := make([]string, len(children))
	for i, child := range amp.ReconstructChildren(descs...) {
		// LND's invoice registry compares in the same way, in a function of its own that
		// wants an invoice and its HTLCs.
		if child.Hash != hashes[i] {
			return nil, invalid("AMP reconstruction failed: HTLC %d has payment hash %x, "+
				"its child %x", i, hashes[i], child.Hash[:])
		}
		preimages[i] = hex.EncodeToString(child.Preimage[:])
	}
	return object{"root": hex.EncodeToString(root[:]), "preimages": preimages}, nil
}

// ampRecordDecode reads the record where LND does: as the record of a stream, here one of its own.
func ampRecordDecode(p params) (object, error) {
	if err := checkDialect(p); err != nil {
		return nil, err
	}
	value, err := p.bytes("record")
	if err != nil {
		return nil, err
	}
	typ := uint64(record.AMPOnionType)
	if p.has("type") {
		if typ, err = p.u64("type"); err != nil {
			return nil, err
		}
	}
	raw, err := encodeStream([]tlv.Record{tlv.MakePrimitiveRecord(tlv.Type(typ), &value)})
	if err != nil {
		return nil, err
	}
	var decoded record.AMP
	stream, err := tlv.NewStream(decoded.Record())
	if err != nil {
		return nil, err
	}
	parsed, err := stream.DecodeWithParsedTypesP2P(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if rest, ok := parsed[record.AMPOnionType]; !ok || rest != nil {
		return nil, invalid("LND reads no AMP record under type %d", typ)
	}
	rootShare, setID := decoded.RootShare(), decoded.SetID()
	return object{
		"root_share": hex.EncodeToString(rootShare[:]),
		"set_id":     hex.EncodeToString(setID[:]),
		"index":      decoded.ChildIndex(),
	}, nil
}

func ampRecordEncode(p params) (object, error) {
	if err := checkDialect(p); err != nil {
		return nil, err
	}
	rootShare, err := p.bytes32("root_share")
	if err != nil {
		return nil, err
	}
	setID, err := p.bytes32("set_id")
	if err != nil {
		return nil, err
	}
	index, err := p.u32("index")
	if err != nil {
		return nil, err
	}
	var value bytes.Buffer
	var scratch [8]byte
	made := record.NewAMP(rootShare, setID, index)
	if err := record.AMPEncoder(&value, made, &scratch); err != nil {
		return nil, err
	}
	return object{"record": hex.EncodeToString(value.Bytes())}, nil
}
