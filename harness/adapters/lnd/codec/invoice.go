package main

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chaincfg"
	"github.com/lightningnetwork/lnd/lnwire"
	"github.com/lightningnetwork/lnd/zpay32"
)

// networks are those whose invoices are read, each before another whose prefix begins its own.
var networks = []struct {
	name  string
	chain *chaincfg.Params
}{
	{"regtest", &chaincfg.RegressionNetParams},
	{"bitcoin", &chaincfg.MainNetParams},
	{"signet", &chaincfg.SigNetParams},
	{"testnet", &chaincfg.TestNet3Params},
	{"simnet", &chaincfg.SimNetParams},
}

// decodeInvoice reads an invoice for the network that it names. LND is told its network, and an
// unknown feature that is required is an error, as LND has it before it pays.
func decodeInvoice(text string) (*zpay32.Invoice, string, error) {
	var err error
	for _, network := range networks {
		var invoice *zpay32.Invoice
		invoice, err = zpay32.Decode(text, network.chain, zpay32.WithErrorOnUnknownFeatureBit())
		if err == nil {
			return invoice, network.name, nil
		}
		// LND has no error of its own for this.
		if !strings.Contains(err.Error(), "not for current active network") {
			break
		}
	}
	return nil, "", err
}

func bolt11Decode(p params) (object, error) {
	text, err := p.text("invoice")
	if err != nil {
		return nil, err
	}
	invoice, network, err := decodeInvoice(text)
	if err != nil {
		return nil, err
	}
	if p.has("now") {
		now, err := p.u64("now")
		if err != nil {
			return nil, err
		}
		expires := invoice.Timestamp.Add(invoice.Expiry()).Unix()
		if expires >= 0 && now > uint64(expires) {
			return nil, rejected("invoice expired. Valid until %d", expires)
		}
	}
	hints := make([][]object, len(invoice.RouteHints))
	for i, hint := range invoice.RouteHints {
		hints[i] = make([]object, len(hint))
		for j, hop := range hint {
			hints[i][j] = object{
				"node_id":                     hex.EncodeToString(hop.NodeID.SerializeCompressed()),
				"scid":                        shortChannelID(hop.ChannelID),
				"fee_base_msat":               hop.FeeBaseMSat,
				"fee_proportional_millionths": hop.FeeProportionalMillionths,
				"cltv_expiry_delta":           hop.CLTVExpiryDelta,
			}
		}
	}
	result := object{
		"network":               network,
		"timestamp":             decimal(uint64(invoice.Timestamp.Unix())),
		"payment_hash":          hex.EncodeToString(invoice.PaymentHash[:]),
		"payee":                 hex.EncodeToString(invoice.Destination.SerializeCompressed()),
		"expiry":                decimal(uint64(invoice.Expiry().Seconds())),
		"min_final_cltv_expiry": invoice.MinFinalCLTVExpiry(),
		"route_hints":           hints,
	}
	if invoice.MilliSat != nil {
		result["amount_msat"] = decimal(uint64(*invoice.MilliSat))
	}
	invoice.PaymentAddr.WhenSome(func(secret [32]byte) {
		result["payment_secret"] = hex.EncodeToString(secret[:])
	})
	if bits := setBits(invoice.Features); len(bits) > 0 {
		result["features"] = bits
	}
	if invoice.Description != nil {
		result["description"] = *invoice.Description
	}
	if invoice.DescriptionHash != nil {
		result["description_hash"] = hex.EncodeToString(invoice.DescriptionHash[:])
	}
	if invoice.Metadata != nil {
		result["payment_metadata"] = hex.EncodeToString(invoice.Metadata)
	}
	return result, nil
}

// setBits are the bits of a feature vector, lowest first.
func setBits(features *lnwire.FeatureVector) []lnwire.FeatureBit {
	bits := []lnwire.FeatureBit{}
	for bit := range features.Features() {
		bits = append(bits, bit)
	}
	slices.Sort(bits)
	return bits
}

// featuresDecode reads a feature field. LND's names are the same in every context.
func featuresDecode(p params) (object, error) {
	raw, err := p.bytes("features")
	if err != nil {
		return nil, err
	}
	if p.has("context") {
		if _, err := p.text("context"); err != nil {
			return nil, err
		}
	}
	vector := lnwire.NewRawFeatureVector()
	if err := vector.DecodeBase256(bytes.NewReader(raw), len(raw)); err != nil {
		return nil, err
	}
	features := lnwire.NewFeatureVector(vector, lnwire.Features)
	bits := setBits(features)
	names := []string{}
	for _, bit := range bits {
		if features.IsKnown(bit) {
			names = append(names, features.Name(bit))
		}
	}
	return object{"bits": bits, "names": names}, nil
}
