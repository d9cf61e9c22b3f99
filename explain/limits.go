package explain

import (
	"bytes"

	"dmarcgate/auth/arc"
	"dmarcgate/auth/dkim"
	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/term"
)

// metLimit is a limit that a message has gone through, with what it has of
// what is limited (docs/limits.md has what happens beyond each).
type metLimit struct {
	Name  string `json:"name"` // a key of the configuration, or a name in words
	Have  int    `json:"have"`
	Limit int    `json:"limit"`
}

// limitsMet lists the limits of counts and sizes that a sender chooses.
func limitsMet(cfg *config.Config, m Letter, f policy.Facts) []metLimit {
	list := []metLimit{
		{"limits.header_fields", len(m.Header), cfg.Limits.HeaderFields},
		{"limits.header_bytes", headerBytes(m.Header), int(cfg.Limits.HeaderBytes)},
		{"limits.recipients", len(m.Env.Rcpts), cfg.Limits.Recipients},
	}
	if f.Skip != policy.Evaluated {
		return list
	}
	return append(list,
		metLimit{"author domains", len(f.Authors), policy.MaxAuthors},
		metLimit{"DKIM signatures that are verified", len(f.DKIM), dkim.MaxSignatures},
		metLimit{"ARC sets", len(f.ARC.Sealers), arc.MaxSets},
	)
}

// headerBytes counts as limits.header_bytes does: the bytes of a field name and
// of its value with line ends of one byte, and two bytes for each field.
func headerBytes(header [][]byte) int {
	n := 0
	for _, raw := range header {
		name, value, _ := bytes.Cut(raw, []byte{':'})
		value = bytes.TrimRight(value, "\r\n")
		n += len(name) + len(value) - bytes.Count(value, []byte("\r\n")) + 2
	}
	return n
}

// limits draws them.
func (x *Explanation) limits(root *term.Node) {
	if len(x.Limits) == 0 {
		return
	}
	n := root.Add("limits")
	for _, l := range x.Limits {
		beyond := ""
		if l.Have > l.Limit {
			beyond = ": BEYOND the limit"
		}
		n.Add("%s: %d of at most %d%s", l.Name, l.Have, l.Limit, beyond)
	}
	if x.Facts.TooManyForged {
		n.Add("forged header fields: more than can be removed")
	}
}
