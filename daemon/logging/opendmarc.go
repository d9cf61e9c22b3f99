package logging

import (
	"context"
	"io"
	"log/slog"
	"strings"
)

// compatible is a handler that writes beside the line of a message the two lines of
// OpenDMARC with SPFSelfValidate, as OpenDMARC 1.4 has them:
//
//	QUEUEID: SPF(mailfrom): DOMAIN RESULT
//	QUEUEID: DOMAIN RESULT
//
// DOMAIN of the first is the envelope sender's, with SPF(helo) and the name in HELO when
// the envelope sender is empty; DOMAIN of the second is the author's.
type compatible struct {
	slog.Handler
	out io.Writer
}

func (c compatible) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "" && r.Level == slog.LevelInfo {
		for _, line := range opendmarcLines(r) {
			_, _ = io.WriteString(c.out, line+"\n")
		}
	}
	return c.Handler.Handle(ctx, r)
}

func (c compatible) WithAttrs(attrs []slog.Attr) slog.Handler {
	return compatible{c.Handler.WithAttrs(attrs), c.out}
}

func (c compatible) WithGroup(name string) slog.Handler {
	return compatible{c.Handler.WithGroup(name), c.out}
}

// opendmarcLines makes the lines out of the keys of a message's line (docs/monitoring.md).
// A message that was not evaluated has none, as in OpenDMARC.
func opendmarcLines(r slog.Record) []string {
	has := make(map[string]string)
	r.Attrs(func(a slog.Attr) bool {
		has[a.Key] = plain(a.Value.String())
		return true
	})
	if has["qid"] == "" || has["result"] == "" {
		return nil
	}
	identity, domain := "mailfrom", has["mail_from"]
	if domain == "<>" {
		identity, domain = "helo", has["helo"]
	}
	return []string{
		has["qid"] + ": SPF(" + identity + "): " + domain + " " + has["spf"],
		has["qid"] + ": " + has["author"] + " " + has["result"],
	}
}

// plain replaces what could end a word or a line: domains come from mail.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
