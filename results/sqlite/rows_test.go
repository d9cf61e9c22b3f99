package sqlite

import (
	"bytes"
	"net/netip"

	"dmarcgate/internal/resultstest"
)

var (
	today  = resultstest.Today
	mixRow = resultstest.MixRow
	row    = resultstest.Spoof
	mixID  = resultstest.MixID
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func countIn(data []byte, what string) int { return bytes.Count(data, []byte(what)) }
