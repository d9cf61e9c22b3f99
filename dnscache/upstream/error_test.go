package upstream

import (
	"errors"
	"os"
	"strings"
	"testing"

	"dmarcgate/dnscache/wire"
)

func TestErrorQuotesForeignText(t *testing.T) {
	e := &Error{Name: "a\r\nb", Type: "TXT", Kind: wire.Timeout, Server: "127.0.0.1:53", Err: os.ErrDeadlineExceeded}
	if text := e.Error(); strings.ContainsAny(text, "\r\n") || !errors.Is(e, os.ErrDeadlineExceeded) {
		t.Errorf("Error() = %q; want one line that wraps its cause", text)
	}
}
