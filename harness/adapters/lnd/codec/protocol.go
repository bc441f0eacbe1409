package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"unicode/utf8"
)

const (
	// protocolVersion is the version of the adapter protocol that is spoken.
	protocolVersion = 1

	// maxLine is the longest line that is read, in bytes. A longer one is passed over.
	maxLine = 4 << 20

	// maxID is the largest id that a request may have.
	maxID = 1<<53 - 1

	// source is where LND comes from.
	source = "https://github.com/lightningnetwork/lnd"

	// dialect is the form of AMP that LND speaks, as the AMP draft calls it.
	dialect = "amp/lnd"
)

// object is a JSON object of a result. Its keys come out sorted, so one input has one answer.
type object = map[string]any

// fail is an error answer: the protocol's kind, and what LND says.
type fail struct {
	kind    string
	message string
}

func (f *fail) Error() string { return f.message }

// invalid refuses what is wrong from the bytes alone, params included.
func invalid(format string, args ...any) error {
	return &fail{"invalid", fmt.Sprintf(format, args...)}
}

// rejected refuses what is well formed for time or state.
func rejected(format string, args ...any) error {
	return &fail{"rejected", fmt.Sprintf(format, args...)}
}

// lacking says what LND's packages do not have.
type lacking struct{ reason string }

func (l *lacking) Error() string { return l.reason }

func unsupported(format string, args ...any) error {
	return &lacking{fmt.Sprintf(format, args...)}
}

// request is one line of the harness.
type request struct {
	id     uint64
	op     string
	params json.RawMessage
}

// parseRequest reads a line. An error means that it is no request and has no answer.
func parseRequest(line []byte) (*request, error) {
	// encoding/json would put a replacement character there.
	if !utf8.Valid(line) {
		return nil, errors.New("not UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, err
	}
	id, err := strconv.ParseUint(string(fields["id"]), 10, 64)
	if err != nil || id > maxID {
		return nil, errors.New("no integer id")
	}
	// A null would be read as an empty string.
	var op *string
	if err := json.Unmarshal(fields["op"], &op); err != nil || op == nil {
		return nil, errors.New("no string op")
	}
	return &request{id, *op, fields["params"]}, nil
}

// readLine is the next line without its end, or nil where it was longer than maxLine.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case err == nil && long:
			return nil, nil
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}

// lineWaits says whether a whole line has been read from the harness and not been answered.
func lineWaits(in *bufio.Reader) bool {
	waiting, _ := in.Peek(in.Buffered())
	return bytes.IndexByte(waiting, '\n') >= 0
}

// serve answers requests in their order until shutdown or the end of input. Output is flushed
// whenever no whole request waits, so a pipelined batch costs few writes.
func serve(input io.Reader, output, notes io.Writer, version string) error {
	in := bufio.NewReaderSize(input, 1<<16)
	out := bufio.NewWriterSize(output, 1<<16)
	for {
		if !lineWaits(in) {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		if line == nil {
			fmt.Fprintf(notes, "lnd-codec: a line of more than %d bytes was passed over\n", maxLine)
			continue
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		asked, err := parseRequest(line)
		if err != nil {
			fmt.Fprintf(notes, "lnd-codec: a line is no request: %v\n", err)
			continue
		}
		text, err := json.Marshal(answer(asked, version))
		if err != nil {
			return err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
		if asked.op == "shutdown" {
			return out.Flush()
		}
	}
}

// answer is the line for one request.
func answer(asked *request, version string) object {
	line := object{"id": asked.id}
	result, err := call(asked, version)
	var lacks *lacking
	var failed *fail
	switch {
	case err == nil:
		line["result"] = result
	case errors.As(err, &lacks):
		line["unsupported"] = object{"reason": lacks.reason}
	case errors.As(err, &failed):
		line["error"] = object{"kind": failed.kind, "message": failed.message}
	default:
		// What LND's packages return: wrong from the bytes alone.
		line["error"] = object{"kind": "invalid", "message": err.Error()}
	}
	return line
}

// call runs one operation. A panic, in LND's packages or here, is this request's alone.
func call(asked *request, version string) (result object, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = nil
			err = &fail{"internal", fmt.Sprintf("%s panicked: %v", asked.op, panicked)}
		}
	}()
	p, err := readParams(asked.params)
	if err != nil {
		return nil, err
	}
	switch asked.op {
	case "hello":
		return hello(p, version)
	case "shutdown":
		return object{}, nil
	}
	operation, ok := operations[asked.op]
	if !ok {
		return nil, unsupported("LND's packages have no operation %s", asked.op)
	}
	return operation(p)
}

// operation is one codec operation: params in, result out.
type operation func(params) (object, error)

// operations are the operations by name, without hello and shutdown.
var operations = map[string]operation{
	"bigsize.decode":       bigsizeDecode,
	"bigsize.encode":       bigsizeEncode,
	"tlv.decode":           tlvDecode,
	"tlv.encode":           tlvEncode,
	"tlv.namespace.decode": namespaceDecode,
	"bolt11.decode":        bolt11Decode,
	"features.decode":      featuresDecode,
	"amp.child":            ampChild,
	"amp.reconstruct":      ampReconstruct,
	"amp.record.decode":    ampRecordDecode,
	"amp.record.encode":    ampRecordEncode,
	"onion.build":          onionBuild,
	"onion.peel":           onionPeel,
	"onion.peel_route":     onionPeelRoute,
	"onion.failure.create": failureCreate,
	"onion.failure.wrap":   failureWrap,
	"payload.decode":       payloadDecode,
	"blinded_path.build":   blindedPathBuild,
	"blinded_path.unblind": blindedPathUnblind,
}

func hello(p params, version string) (object, error) {
	asked, err := p.u32("protocol")
	if err != nil {
		return nil, err
	}
	if asked < protocolVersion {
		return nil, invalid("protocol %d was asked for; this adapter speaks %d at the least",
			asked, protocolVersion)
	}
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	sort.Strings(names)
	return object{
		"implementation": object{
			"name":     "lnd",
			"version":  version,
			"language": "Go",
			"source":   source,
		},
		"protocol":   protocolVersion,
		"operations": names,
		"dialects":   []string{dialect},
	}, nil
}
