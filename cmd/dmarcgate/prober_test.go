package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"dmarcgate/dnscache"
)

func TestAServerThatDiesOrComesBackIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	list := []dnscache.ServerStatus{{Address: "192.0.2.53:53"}, {Address: "192.0.2.54:53"}}
	p := &prober{log: slog.New(slog.NewTextHandler(&out, nil)), servers: func() []dnscache.ServerStatus { return list }}
	for _, down := range []bool{false, true, true, false, false} {
		list[1].Down = down
		p.noteServers()
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "does not answer") || !strings.Contains(lines[1], "answers again") {
		t.Fatalf("log = %q; want one line for each change", lines)
	}
	for _, line := range lines {
		if !strings.Contains(line, "server=192.0.2.54:53") {
			t.Errorf("line %q; want the address of the server", line)
		}
	}
}
