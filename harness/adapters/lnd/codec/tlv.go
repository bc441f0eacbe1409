package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/lightningnetwork/lnd/lnwire"
	"github.com/lightningnetwork/lnd/tlv"
)

func bigsizeDecode(p params) (object, error) {
	raw, err := p.bytes("bytes")
	if err != nil {
		return nil, err
	}
	in := bytes.NewReader(raw)
	var scratch [8]byte
	value, err := tlv.ReadVarInt(in, &scratch)
	if err != nil {
		return nil, err
	}
	rest := raw[len(raw)-in.Len():]
	return object{"value": decimal(value), "rest": hex.EncodeToString(rest)}, nil
}

func bigsizeEncode(p params) (object, error) {
	value, err := p.u64("value")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	var scratch [8]byte
	if err := tlv.WriteVarInt(&out, value, &scratch); err != nil {
		return nil, err
	}
	return object{"bytes": hex.EncodeToString(out.Bytes())}, nil
}

func encodeStream(records []tlv.Record) ([]byte, error) {
	stream, err := tlv.NewStream(records...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := stream.Encode(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func tlvEncode(p params) (object, error) {
	if p.has("unchecked") {
		return nil, unsupported("LND's tlv package writes no stream that is out of order")
	}
	entries, err := p.objects("records")
	if err != nil {
		return nil, err
	}
	records := make([]tlv.Record, len(entries))
	for i, entry := range entries {
		typ, err := entry.u64("type")
		if err != nil {
			return nil, err
		}
		value, err := entry.bytes("value")
		if err != nil {
			return nil, err
		}
		records[i] = tlv.MakePrimitiveRecord(tlv.Type(typ), &value)
	}
	stream, err := encodeStream(records)
	if err != nil {
		return nil, err
	}
	return object{"stream": hex.EncodeToString(stream)}, nil
}

// readStream reads a stream with LND's decoder for what a peer sends. known are the records that
// it decodes; the values of all others are in the map that it returns.
//
// BOLT 1 has a reader refuse an unknown even type. LND's decoder hands the unknown types out and
// leaves that to its callers, whose functions for it are not exported; an answer of ours would be a
// rule of ours.
func readStream(raw []byte, knows func(tlv.Type) bool, known ...tlv.Record) (tlv.TypeMap, error) {
	stream, err := tlv.NewStream(known...)
	if err != nil {
		return nil, err
	}
	parsed, err := stream.DecodeWithParsedTypesP2P(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	for typ := range parsed {
		if typ%2 == 0 && !knows(typ) {
			return nil, unsupported("LND's tlv package leaves unknown even types to its "+
				"callers, here type %d", typ)
		}
	}
	return parsed, nil
}

// split is every record of a stream by its type.
func split(raw []byte, knows func(tlv.Type) bool) ([]object, error) {
	parsed, err := readStream(raw, knows)
	if err != nil {
		return nil, err
	}
	types := make([]tlv.Type, 0, len(parsed))
	for typ := range parsed {
		types = append(types, typ)
	}
	// The decoder takes ascending types only, so this is the stream's order.
	slices.Sort(types)
	records := make([]object, len(types))
	for i, typ := range types {
		records[i] = object{
			"type":  decimal(uint64(typ)),
			"value": hex.EncodeToString(parsed[typ]),
		}
	}
	return records, nil
}

func tlvDecode(p params) (object, error) {
	raw, err := p.bytes("stream")
	if err != nil {
		return nil, err
	}
	known, err := p.u64s("known")
	if err != nil {
		return nil, err
	}
	records, err := split(raw, func(typ tlv.Type) bool {
		return slices.Contains(known, uint64(typ))
	})
	if err != nil {
		return nil, err
	}
	return object{"records": records}, nil
}

// nodeAmounts is record 3 of BOLT 1's namespace n1.
type nodeAmounts struct {
	node     *btcec.PublicKey
	one, two uint64
}

func decodeNodeAmounts(in io.Reader, value any, scratch *[8]byte, length uint64) error {
	v, ok := value.(*nodeAmounts)
	if !ok || length != btcec.PubKeyBytesLenCompressed+8+8 {
		return tlv.NewTypeForDecodingErr(value, "nodeAmounts", length, 49)
	}
	if err := tlv.DPubKey(in, &v.node, scratch, btcec.PubKeyBytesLenCompressed); err != nil {
		return err
	}
	if err := tlv.DUint64(in, &v.one, scratch, 8); err != nil {
		return err
	}
	return tlv.DUint64(in, &v.two, scratch, 8)
}

// truncated is a record of a truncated integer that is only read.
func truncated(typ tlv.Type, value any, decoder tlv.Decoder) tlv.Record {
	return tlv.MakeDynamicRecord(typ, value, func() uint64 { return 0 }, nil, decoder)
}

func shortChannelID(id uint64) string {
	scid := lnwire.NewShortChanIDFromInt(id)
	return fmt.Sprintf("%dx%dx%d", scid.BlockHeight, scid.TxIndex, scid.TxPosition)
}

// namespaceDecode reads the two namespaces of BOLT 1, appendix B, whose records are put together
// from the decoders of LND's tlv package.
func namespaceDecode(p params) (object, error) {
	raw, err := p.bytes("stream")
	if err != nil {
		return nil, err
	}
	namespace, err := p.text("namespace")
	if err != nil {
		return nil, err
	}
	var (
		amount, scid uint64
		nodes        nodeAmounts
		delta        uint16
		expiry       uint32
		known        []tlv.Record
	)
	switch namespace {
	case "n1":
		known = []tlv.Record{
			truncated(1, &amount, tlv.DTUint64),
			tlv.MakePrimitiveRecord(2, &scid),
			tlv.MakeStaticRecord(3, &nodes, 49, nil, decodeNodeAmounts),
			tlv.MakePrimitiveRecord(254, &delta),
		}
	case "n2":
		known = []tlv.Record{
			truncated(0, &amount, tlv.DTUint64),
			truncated(11, &expiry, tlv.DTUint32),
		}
	default:
		return nil, invalid("param namespace is %s, not n1 or n2", namespace)
	}
	knows := func(typ tlv.Type) bool {
		return slices.ContainsFunc(known, func(r tlv.Record) bool { return r.Type() == typ })
	}
	parsed, err := readStream(raw, knows, known...)
	if err != nil {
		return nil, err
	}
	fields := object{}
	for typ := range parsed {
		switch {
		case !knows(typ):
		case namespace == "n1" && typ == 1, namespace == "n2" && typ == 0:
			fields["tlv1"] = object{"amount_msat": decimal(amount)}
		case typ == 2:
			fields["tlv2"] = object{"scid": shortChannelID(scid)}
		case typ == 3:
			fields["tlv3"] = object{
				"node_id":       hex.EncodeToString(nodes.node.SerializeCompressed()),
				"amount_msat_1": decimal(nodes.one),
				"amount_msat_2": decimal(nodes.two),
			}
		case typ == 254:
			fields["tlv4"] = object{"cltv_delta": delta}
		case typ == 11:
			fields["tlv2"] = object{"cltv_expiry": expiry}
		}
	}
	records, err := split(raw, knows)
	if err != nil {
		return nil, err
	}
	return object{"records": records, "fields": fields}, nil
}
