// Command lnd-codec answers the codec operations of lnconform's adapter protocol with LND's own
// packages. It reads one JSON object a line on standard input and answers one a line on standard
// output.
//
// No rule of a protocol is written here: what these packages do not offer is not listed, and what
// they refuse is refused in their words.
package main

import (
	"fmt"
	"os"

	"github.com/lightningnetwork/lnd/build"
)

func main() {
	// Whoever installs it asks whether it runs, and which LND it is.
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Printf("lnd-codec version %s\n", build.Version())
		return
	}
	// LND's own word for its version, such as 0.21.2-beta. What the go command records is no use
	// where this program is compiled inside LND's source.
	if err := serve(os.Stdin, os.Stdout, os.Stderr, build.Version()); err != nil {
		fmt.Fprintf(os.Stderr, "lnd-codec: %v\n", err)
		os.Exit(1)
	}
}
