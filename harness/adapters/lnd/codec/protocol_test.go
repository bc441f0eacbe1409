package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/lightningnetwork/lnd/build"
	"github.com/lightningnetwork/lnd/lnwire"
	"github.com/lightningnetwork/lnd/zpay32"
)

// converse gives lines to serve and returns its answers and notes.
func converse(t *testing.T, input string) ([]object, string) {
	t.Helper()
	var output, notes bytes.Buffer
	if err := serve(strings.NewReader(input), &output, &notes, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	return readAnswers(t, output.String()), notes.String()
}

func readAnswers(t *testing.T, text string) []object {
	t.Helper()
	var answers []object
	for line := range strings.Lines(text) {
		var answer object
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatalf("answer %q: %v", line, err)
		}
		forms := 0
		for _, form := range []string{"result", "error", "unsupported"} {
			if _, ok := answer[form]; ok {
				forms++
			}
		}
		if forms != 1 {
			t.Fatalf("answer %q has %d forms", line, forms)
		}
		answers = append(answers, answer)
	}
	return answers
}

// ask is the answer to one operation.
func ask(t *testing.T, op, params string) object {
	t.Helper()
	line := `{"id": 7, "op": "` + op + `", "params": ` + params + "}\n"
	answers, notes := converse(t, line)
	if len(answers) != 1 {
		t.Fatalf("%s has %d answers; notes: %s", line, len(answers), notes)
	}
	return answers[0]
}

func result(t *testing.T, op, params string) object {
	t.Helper()
	answer := ask(t, op, params)
	result, ok := answer["result"].(object)
	if !ok {
		t.Fatalf("%s: %v", op, answer)
	}
	return result
}

func failure(t *testing.T, op, params string) (kind, message string) {
	t.Helper()
	answer := ask(t, op, params)
	failed, ok := answer["error"].(object)
	if !ok {
		t.Fatalf("%s: %v", op, answer)
	}
	return failed["kind"].(string), failed["message"].(string)
}

func TestHelloListsTheOperations(t *testing.T) {
	said := result(t, "hello", `{"protocol": 9, "harness": "test"}`)
	if said["protocol"] != float64(1) {
		t.Errorf("protocol: %v", said["protocol"])
	}
	implementation := said["implementation"].(object)
	if implementation["name"] != "lnd" || implementation["version"] != "1.2.3" {
		t.Errorf("implementation: %v", implementation)
	}
	if len(said["operations"].([]any)) != len(operations) {
		t.Errorf("operations: %v", said["operations"])
	}
	if kind, _ := failure(t, "hello", `{"protocol": 0}`); kind != "invalid" {
		t.Errorf("protocol 0: %s", kind)
	}
}

func TestLinkedVersionIsKnown(t *testing.T) {
	version := build.Version()
	if !strings.HasPrefix(version, "0.") {
		t.Errorf("version of LND: %q", version)
	}
}

func TestLinesThatAreNoRequestsHaveNoAnswer(t *testing.T) {
	for _, line := range []string{
		"", "  ", "no JSON", "[1]", "null", `"text"`, "{}",
		`{"id": 1}`, `{"op": "hello"}`, `{"id": "1", "op": "hello"}`, `{"id": 1.5, "op": "hello"}`,
		`{"id": -1, "op": "hello"}`, `{"id": null, "op": "hello"}`, `{"id": 1, "op": null}`,
		`{"id": 1, "op": 2}`, `{"ID": 1, "op": "hello"}`, `{"id": 9007199254740992, "op": "hello"}`,
		"{\"id\": 1, \"op\": \"\xff\"}",
		`{"id": 1, "op": "x", "pad": "` + strings.Repeat("a", maxLine) + `"}`,
	} {
		answers, _ := converse(t, line+"\n"+`{"id": 5, "op": "made.up"}`+"\n")
		if len(answers) != 1 || answers[0]["id"] != float64(5) {
			t.Errorf("%.60q: %v", line, answers)
		}
	}
}

func TestOddButWholeRequestsAreAnswered(t *testing.T) {
	for _, line := range []string{
		`{"id": 9007199254740991, "op": "made.up", "more": [[[]]]}`,
		`{"id": 3, "op": "made.up"}` + "\r",
		`{"id": 3, "op": "x", "pad": "` + strings.Repeat("a", 1<<20) + `"}`,
	} {
		answers, notes := converse(t, line+"\n")
		if len(answers) != 1 || answers[0]["unsupported"] == nil {
			t.Errorf("%.60q: %v, %s", line, answers, notes)
		}
	}
	// The last line may lack its end.
	if answers, _ := converse(t, `{"id": 3, "op": "x"}`); len(answers) != 1 {
		t.Errorf("unended line: %v", answers)
	}
}

func TestIDsComeBackExactly(t *testing.T) {
	var output bytes.Buffer
	line := `{"id": 9007199254740991, "op": "made.up"}` + "\n"
	if err := serve(strings.NewReader(line), &output, io.Discard, ""); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(output.String(), `"id":9007199254740991`) {
		t.Errorf("%s", output.String())
	}
}

func TestShutdownIsTheLastAnswer(t *testing.T) {
	answers, _ := converse(t, `{"id": 1, "op": "x"}
{"id": 2, "op": "shutdown"}
{"id": 3, "op": "x"}
`)
	if len(answers) != 2 || answers[1]["id"] != float64(2) || answers[1]["result"] == nil {
		t.Errorf("%v", answers)
	}
}

func TestAnswersAreFlushedWhileTheHarnessWaits(t *testing.T) {
	input, asks := io.Pipe()
	answers, output := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- serve(input, output, io.Discard, "") }()
	read := make(chan string, 1)
	go func() {
		buffer := make([]byte, 4096)
		n, _ := answers.Read(buffer)
		read <- string(buffer[:n])
	}()
	// A whole request and the beginning of the next one.
	if _, err := asks.Write([]byte(`{"id": 1, "op": "x"}` + "\n" + `{"id": 2,`)); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-read:
		if !strings.Contains(text, `"id":1`) {
			t.Errorf("%q", text)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no answer while the next line is unfinished")
	}
	asks.Close()
	go io.Copy(io.Discard, answers)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPanicIsOneInternalError(t *testing.T) {
	operations["test.panic"] = func(params) (object, error) { panic("on purpose") }
	defer delete(operations, "test.panic")
	answers, _ := converse(t, `{"id": 1, "op": "test.panic"}
{"id": 2, "op": "bigsize.encode", "params": {"value": "1"}}
`)
	if len(answers) != 2 || answers[1]["result"] == nil {
		t.Fatalf("%v", answers)
	}
	failed := answers[0]["error"].(object)
	if failed["kind"] != "internal" || !strings.Contains(failed["message"].(string), "on purpose") {
		t.Errorf("%v", failed)
	}
}

func TestParamsAreChecked(t *testing.T) {
	for name, test := range map[string]struct{ op, params, names string }{
		"missing":        {"amp.child", `{}`, "root"},
		"null":           {"bigsize.decode", `{"bytes": null}`, "bytes"},
		"not hex":        {"bigsize.decode", `{"bytes": "0g"}`, "bytes"},
		"odd hex":        {"bigsize.decode", `{"bytes": "0"}`, "bytes"},
		"number as text": {"amp.record.encode", ampFields(`"1"`), "index"},
		"33 bits":        {"amp.record.encode", ampFields(`4294967296`), "index"},
		"negative":       {"amp.record.encode", ampFields(`-1`), "index"},
		"fraction":       {"amp.record.encode", ampFields(`1.5`), "index"},
		"text as number": {"bigsize.encode", `{"value": 1}`, "value"},
		"65 bits":        {"bigsize.encode", `{"value": "18446744073709551616"}`, "value"},
		"31 bytes":       {"amp.child", `{"root": "` + strings.Repeat("00", 31) + `"}`, "root"},
		"no list":        {"tlv.decode", `{"stream": "", "known": "1"}`, "known"},
		"list of others": {"tlv.decode", `{"stream": "", "known": [1]}`, "known"},
		"no objects":     {"amp.reconstruct", `{"children": [1]}`, "children"},
		"no params":      {"bigsize.decode", `[]`, "params"},
		"off the curve": {"onion.build", `{"session_key": "` + strings.Repeat("41", 32) +
			`", "associated_data": "", "hops": [{"pubkey": "02` + strings.Repeat("ff", 32) +
			`", "payload": "0100"}]}`, "pubkey"},
	} {
		kind, message := failure(t, test.op, test.params)
		if kind != "invalid" || !strings.Contains(message, test.names) {
			t.Errorf("%s: %s, %s", name, kind, message)
		}
	}
}

func ampFields(index string) string {
	zeros := strings.Repeat("00", 32)
	return `{"root_share": "` + zeros + `", "set_id": "` + zeros + `", "index": ` + index + `}`
}

func TestDialects(t *testing.T) {
	if answer := ask(t, "amp.record.encode", strings.Replace(
		ampFields("1"), "{", `{"dialect": "amp/pr-658", `, 1)); answer["unsupported"] == nil {
		t.Errorf("%v", answer)
	}
	result(t, "amp.record.encode", strings.Replace(
		ampFields("1"), "{", `{"dialect": "amp/lnd", `, 1))
}

func TestAMPRecordThereAndBack(t *testing.T) {
	encoded := result(t, "amp.record.encode", ampFields("256"))["record"].(string)
	if len(encoded) != 2*66 {
		t.Errorf("record: %s", encoded)
	}
	decoded := result(t, "amp.record.decode", `{"record": "`+encoded+`"}`)
	if decoded["index"] != float64(256) {
		t.Errorf("%v", decoded)
	}
	failure(t, "amp.record.decode", `{"record": "`+encoded+`00aabb"}`)
	failure(t, "amp.record.decode", `{"type": "10", "record": "`+encoded+`"}`)
}

func TestUnknownEvenTypesAreLeftToCallers(t *testing.T) {
	if answer := ask(t, "tlv.decode", `{"stream": "0400", "known": []}`); answer["unsupported"] == nil {
		t.Errorf("%v", answer)
	}
	result(t, "tlv.decode", `{"stream": "0400", "known": ["4"]}`)
	// What LND refuses is refused, whatever else the stream holds.
	failure(t, "tlv.decode", `{"stream": "04000200", "known": []}`)
	failure(t, "tlv.decode", `{"stream": "04fe7fffffff", "known": []}`)
}

func TestOnionIsPeeledByEachHop(t *testing.T) {
	secrets := []string{strings.Repeat("11", 32), strings.Repeat("22", 32)}
	hops := make([]string, len(secrets))
	for i, secret := range secrets {
		var key [32]byte
		hex.Decode(key[:], []byte(secret))
		public := readSecretKey(key).PubKey().SerializeCompressed()
		hops[i] = `{"pubkey": "` + hex.EncodeToString(public) + `", "payload": "03aabb0` +
			string(rune('0'+i)) + `"}`
	}
	built := result(t, "onion.build", `{"session_key": "`+strings.Repeat("41", 32)+
		`", "associated_data": "42", "hops": [`+strings.Join(hops, ",")+`]}`)
	packet := `, "associated_data": "42", "onion": "` + built["onion"].(string) + `"}`

	route := result(t, "onion.peel_route", `{"node_secrets": ["`+
		strings.Join(secrets, `", "`)+`"]`+packet)
	if payloads := route["payloads"].([]any); payloads[0] != "03aabb00" || payloads[1] != "03aabb01" {
		t.Errorf("payloads: %v", payloads)
	}
	for i, shared := range route["shared_secrets"].([]any) {
		if shared != built["shared_secrets"].([]any)[i] {
			t.Errorf("hop %d has another secret than the payer", i)
		}
	}
	first := result(t, "onion.peel", `{"node_secret": "`+secrets[0]+`"`+packet)
	if first["next_onion"] == nil || first["payload"] != "03aabb00" {
		t.Errorf("%v", first)
	}
	// Another hop's key, a hop too many, and other associated data.
	failure(t, "onion.peel", `{"node_secret": "`+secrets[1]+`"`+packet)
	failure(t, "onion.peel_route", `{"node_secrets": ["`+strings.Join(secrets, `", "`)+`", "`+
		secrets[0]+`"]`+packet)
	failure(t, "onion.peel", `{"node_secret": "`+secrets[0]+`"`+
		strings.Replace(packet, `"42"`, `"43"`, 1))
}

func TestFailurePackets(t *testing.T) {
	secret := `{"shared_secret": "` + strings.Repeat("11", 32) + `", `
	made := result(t, "onion.failure.create", secret+`"failure": "2002"}`)["packet"].(string)
	// HMAC, two lengths, and 256 bytes of failure and padding.
	if len(made) != 2*(32+2+2+256) {
		t.Errorf("%d bytes", len(made)/2)
	}
	wrapped := result(t, "onion.failure.wrap", secret+`"packet": "`+made+`"}`)["packet"].(string)
	// The stream of one secret twice is none: what is left is the plain message behind its HMAC.
	if !strings.HasPrefix(wrapped[64:], "00022002") {
		t.Errorf("%.80s", wrapped)
	}
	failure(t, "onion.failure.create", secret+`"failure": "ffff"}`)
}

// ampInvoice is a reusable AMP invoice for any amount, signed by a key of the test.
func ampInvoice(t *testing.T, network *chaincfg.Params, bits ...lnwire.FeatureBit) string {
	t.Helper()
	key := readSecretKey([32]byte{31: 7})
	features := lnwire.NewFeatureVector(lnwire.NewRawFeatureVector(bits...), lnwire.Features)
	invoice, err := zpay32.NewInvoice(network, [32]byte{1}, time.Unix(1700000000, 0),
		zpay32.Description("tea"), zpay32.PaymentAddr([32]byte{2}), zpay32.CLTVExpiry(80),
		zpay32.Expiry(30*24*time.Hour), zpay32.Features(features))
	if err != nil {
		t.Fatal(err)
	}
	text, err := invoice.Encode(zpay32.MessageSigner{SignCompact: func(msg []byte) ([]byte, error) {
		return ecdsa.SignCompact(key, chainhash.HashB(msg), true), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestInvoicesAreReadForTheNetworkTheyName(t *testing.T) {
	for _, network := range networks {
		text := ampInvoice(t, network.chain, 8, 14, 30)
		read := result(t, "bolt11.decode", `{"invoice": "`+text+`", "now": "1700000000"}`)
		if read["network"] != network.name {
			t.Errorf("%s is read as %v", network.name, read["network"])
		}
		if _, ok := read["amount_msat"]; ok {
			t.Errorf("amount: %v", read["amount_msat"])
		}
		if read["payment_secret"] != "02"+strings.Repeat("00", 31) || read["expiry"] != "2592000" ||
			read["min_final_cltv_expiry"] != float64(80) || len(read["features"].([]any)) != 3 {
			t.Errorf("%v", read)
		}
	}
}

func TestInvoicesAreRefused(t *testing.T) {
	text := ampInvoice(t, networks[0].chain, 8, 14, 30)
	expired := `{"invoice": "` + text + `", "now": "1702592001"}`
	if kind, _ := failure(t, "bolt11.decode", expired); kind != "rejected" {
		t.Errorf("expired: %s", kind)
	}
	// A required feature that nobody knows.
	unknown := ampInvoice(t, networks[0].chain, 8, 14, 1000)
	if _, message := failure(t, "bolt11.decode", `{"invoice": "`+unknown+`"}`); !strings.Contains(
		message, "1000") {

		t.Errorf("unknown feature: %s", message)
	}
	last := "q"
	if strings.HasSuffix(text, last) {
		last = "p"
	}
	failure(t, "bolt11.decode", `{"invoice": "`+text[:len(text)-1]+last+`"}`)
}

func TestInvoicesOfNoNetworkAreRefusedInLNDsWords(t *testing.T) {
	_, message := failure(t, "bolt11.decode", `{"invoice": "lnbc1"}`)
	if message == "" {
		t.Error("no message")
	}
}

func TestFeatures(t *testing.T) {
	read := result(t, "features.decode", `{"features": "40004100", "context": "9"}`)
	bits := read["bits"].([]any)
	if len(bits) != 3 || bits[0] != float64(8) || bits[1] != float64(14) || bits[2] != float64(30) {
		t.Errorf("bits: %v", bits)
	}
	if names := read["names"].([]any); names[2] != "amp" {
		t.Errorf("names: %v", names)
	}
}
