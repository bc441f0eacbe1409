package main

import (
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/btcsuite/btcd/btcec/v2"
)

// params are the params of a request, or one object of a list in them. What is missing or
// ill-typed is an error of kind invalid that names it.
type params map[string]json.RawMessage

func readParams(raw json.RawMessage) (params, error) {
	if raw == nil {
		return params{}, nil
	}
	var p params
	if err := json.Unmarshal(raw, &p); err != nil || p == nil {
		return nil, invalid("params are no object")
	}
	return p, nil
}

func (p params) has(name string) bool {
	_, ok := p[name]
	return ok
}

func (p params) text(name string) (string, error) {
	raw, ok := p[name]
	if !ok {
		return "", invalid("param %s is missing", name)
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return "", invalid("param %s is no string", name)
	}
	return *text, nil
}

func (p params) bytes(name string) ([]byte, error) {
	text, err := p.text(name)
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, invalid("param %s is not hex", name)
	}
	return b, nil
}

func (p params) bytes32(name string) (out [32]byte, err error) {
	b, err := p.bytes(name)
	if err != nil {
		return out, err
	}
	if len(b) != len(out) {
		return out, invalid("param %s has %d bytes, not 32", name, len(b))
	}
	copy(out[:], b)
	return out, nil
}

// u64 is a number of 64 bits: a decimal string.
func (p params) u64(name string) (uint64, error) {
	text, err := p.text(name)
	if err != nil {
		return 0, err
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, invalid("param %s is no decimal number of 64 bits", name)
	}
	return value, nil
}

// u32 is a number of up to 32 bits: a JSON number.
func (p params) u32(name string) (uint32, error) {
	raw, ok := p[name]
	if !ok {
		return 0, invalid("param %s is missing", name)
	}
	var value *uint32
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return 0, invalid("param %s is no number of 32 bits", name)
	}
	return *value, nil
}

// publicKey is a key as LND reads one.
func (p params) publicKey(name string) (*btcec.PublicKey, error) {
	b, err := p.bytes(name)
	if err != nil {
		return nil, err
	}
	key, err := btcec.ParsePubKey(b)
	if err != nil {
		return nil, invalid("param %s: %v", name, err)
	}
	return key, nil
}

func readSecretKey(b [32]byte) *btcec.PrivateKey {
	key, _ := btcec.PrivKeyFromBytes(b[:])
	return key
}

func (p params) list(name string) ([]json.RawMessage, error) {
	raw, ok := p[name]
	if !ok {
		return nil, invalid("param %s is missing", name)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return nil, invalid("param %s is no list", name)
	}
	return list, nil
}

func (p params) objects(name string) ([]params, error) {
	list, err := p.list(name)
	if err != nil {
		return nil, err
	}
	objects := make([]params, len(list))
	for i, raw := range list {
		if json.Unmarshal(raw, &objects[i]) != nil || objects[i] == nil {
			return nil, invalid("param %s has an entry that is no object", name)
		}
	}
	return objects, nil
}

// strings are the entries of a list of strings, each a param of its own.
func (p params) strings(name string) ([]params, error) {
	list, err := p.list(name)
	if err != nil {
		return nil, err
	}
	entries := make([]params, len(list))
	for i, raw := range list {
		entries[i] = params{name: raw}
	}
	return entries, nil
}

// u64s is a list of numbers of 64 bits.
func (p params) u64s(name string) ([]uint64, error) {
	entries, err := p.strings(name)
	if err != nil {
		return nil, err
	}
	values := make([]uint64, len(entries))
	for i, entry := range entries {
		if values[i], err = entry.u64(name); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func decimal(value uint64) string { return strconv.FormatUint(value, 10) }
