// An adapter for BigSize numbers: a complete example of the adapter protocol.
// `go build adapter.go` makes it; it needs the standard library alone.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"unicode/utf8"
)

type object map[string]any

type request struct {
	ID     *int64  `json:"id"`
	Op     *string `json:"op"`
	Params object  `json:"params"`
}

var hello = object{
	"implementation": object{"name": "bigsize-go", "version": "1.0", "language": "Go", "source": ""},
	"protocol":       1,
	"operations":     []string{"bigsize.decode", "bigsize.encode"},
	"dialects":       []string{},
}

func bigsize(n uint64) []byte {
	length, prefix := 8, byte(0xff)
	switch {
	case n < 0xfd:
		return []byte{byte(n)}
	case n < 1<<16:
		length, prefix = 2, 0xfd
	case n < 1<<32:
		length, prefix = 4, 0xfe
	}
	out := []byte{prefix}
	for i := length - 1; i >= 0; i-- {
		out = append(out, byte(n>>(8*i)))
	}
	return out
}

func encode(params object) (object, error) {
	text, _ := params["value"].(string)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, errors.New("value is not a decimal string below 2^64")
	}
	return object{"bytes": hex.EncodeToString(bigsize(n))}, nil
}

func decode(params object) (object, error) {
	text, _ := params["bytes"].(string)
	data, err := hex.DecodeString(text)
	if err != nil || len(data) == 0 {
		return nil, errors.New("bytes is not some hex")
	}
	used, n := 1, uint64(data[0])
	if data[0] >= 0xfd {
		used, n = 1+1<<(data[0]-0xfc), 0
	}
	if len(data) < used {
		return nil, errors.New("cut short")
	}
	for _, b := range data[1:used] {
		n = n<<8 | uint64(b)
	}
	if len(bigsize(n)) != used {
		return nil, errors.New("not the shortest encoding")
	}
	return object{"value": strconv.FormatUint(n, 10), "rest": hex.EncodeToString(data[used:])}, nil
}

// answerTo runs one operation. A fault in one request is not the end of the process.
func answerTo(run func(object) (object, error), params object) (answer object) {
	failed := func(kind string, why any) object {
		return object{"error": object{"kind": kind, "message": fmt.Sprint(why)}}
	}
	defer func() {
		if fault := recover(); fault != nil {
			answer = failed("internal", fault)
		}
	}()
	result, err := run(params)
	if err != nil {
		return failed("invalid", err)
	}
	return object{"result": result}
}

func main() {
	operations := map[string]func(object) (object, error){
		"bigsize.decode": decode,
		"bigsize.encode": encode,
		"hello":          func(object) (object, error) { return hello, nil },
		"shutdown":       func(object) (object, error) { return object{}, nil },
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20) // the longest line that the harness sends
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var r request
		// The library would mend what is no UTF-8.
		valid := utf8.Valid(lines.Bytes())
		if json.Unmarshal(lines.Bytes(), &r) != nil || !valid || r.ID == nil || r.Op == nil {
			fmt.Fprintln(os.Stderr, "not a request") // passed over, never answered
			continue
		}
		answer := object{"unsupported": object{"reason": "there is no operation " + *r.Op}}
		if run, known := operations[*r.Op]; known {
			answer = answerTo(run, r.Params)
		}
		answer["id"] = *r.ID
		if out.Encode(answer) != nil || *r.Op == "shutdown" {
			return
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "the requests cannot be read:", err)
		os.Exit(1)
	}
}
