package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Output is what to print of an explanation: the tree, when nothing is said.
type Output struct {
	JSON      bool
	ForSender bool   // the text for the sender
	Bundle    string // file for the case file, - for standard output; "" for none
}

// Write prints what is wanted on out: a bundle and the text for the sender stand
// alone there. A bundle in a file is for its owner alone to read.
func (x *Explanation) Write(out, warn io.Writer, o Output) error {
	if o.Bundle != "" && o.Bundle != "-" {
		if err := os.WriteFile(o.Bundle, []byte(x.Bundle), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(warn, "%s written: read it before you pass it on\n", o.Bundle)
		x.Bundle = ""
	}
	if o.ForSender {
		x.ForSender = x.senderText()
	}
	var err error
	switch {
	case o.JSON:
		return json.NewEncoder(out).Encode(x)
	case o.Bundle == "-":
		_, err = io.WriteString(out, x.Bundle)
	case o.ForSender:
		_, err = io.WriteString(out, x.ForSender)
	default:
		err = x.Tree().Print(out)
	}
	return err
}
