package miltertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Action is what an answer tells the MTA to do.
type Action uint8

const (
	NoAction  Action = iota
	Continue         // 'c' SMFIR_CONTINUE
	Accept           // 'a' SMFIR_ACCEPT
	Reject           // 'r' SMFIR_REJECT
	TempFail         // 't' SMFIR_TEMPFAIL
	Discard          // 'd' SMFIR_DISCARD
	Skip             // 's' SMFIR_SKIP
	ReplyCode        // 'y' SMFIR_REPLYCODE
)

var actionCodes = map[byte]Action{'c': Continue, 'a': Accept, 'r': Reject, 't': TempFail, 'd': Discard, 's': Skip, 'y': ReplyCode}

func (a Action) String() string {
	return [...]string{"none", "continue", "accept", "reject", "tempfail", "discard", "skip", "replycode"}[a]
}

// Reply is an answer. Code, Enhanced and Text are set for ReplyCode only; the
// lines of Text are separated by LF, and doubled percent signs are single.
type Reply struct {
	Action   Action
	Code     int
	Enhanced string
	Text     string
}

// Result is what became of a message.
type Result struct {
	Reply
	// Stage is the command that was answered last: 'E' unless the filter
	// ended the message early.
	Stage byte
	// Edits are the changes in the order in which they were asked for.
	Edits []Edit
	// Skipped tells that the filter wanted no more body.
	Skipped bool
	// Progress counts requests for more time.
	Progress int
	// LeadingSpace tells that values of edits carry their leading space.
	LeadingSpace bool
}

// Op is the kind of an edit.
type Op byte

const (
	OpAdd    Op = 'h' // SMFIR_ADDHEADER
	OpInsert Op = 'i' // SMFIR_INSHEADER
	OpChange Op = 'm' // SMFIR_CHGHEADER; an empty value deletes
	OpHold   Op = 'q' // SMFIR_QUARANTINE
)

// Edit is a change that the filter asks for. Index is the position of an
// inserted field, or the number of a changed one among those of its name. The
// reason of a quarantine is in Value.
type Edit struct {
	Op    Op
	Index uint32
	Name  string
	Value string
}

// Quarantined returns the reason of the quarantine and whether there is one.
func (r Result) Quarantined() (string, bool) {
	for _, e := range r.Edits {
		if e.Op == OpHold {
			return e.Value, true
		}
	}
	return "", false
}

// parseReply reads an answer that is no edit, as strictly as Postfix does.
func parseReply(code byte, data []byte) (Reply, error) {
	action, ok := actionCodes[code]
	if !ok {
		return Reply{}, fmt.Errorf("answer %q is none", code)
	}
	if action != ReplyCode {
		if len(data) != 0 {
			return Reply{}, fmt.Errorf("answer %q with %d bytes of data", code, len(data))
		}
		return Reply{Action: action}, nil
	}
	text, ok := bytes.CutSuffix(data, []byte{0})
	if !ok || bytes.IndexByte(text, 0) >= 0 {
		return Reply{}, fmt.Errorf("reply %q is not one string", data)
	}
	return parseText(string(text))
}

func parseText(s string) (Reply, error) {
	r := Reply{Action: ReplyCode}
	lines := strings.Split(s, "\r\n")
	var texts []string
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		if len(line) < 4 || line[3:4] != sep || len(line) > 510 {
			return r, fmt.Errorf("reply line %q is malformed", line)
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil || code < 400 || code > 599 || r.Code != 0 && r.Code != code {
			return r, fmt.Errorf("reply line %q has a bad code", line)
		}
		enhanced, text, _ := strings.Cut(line[4:], " ")
		if !strings.HasPrefix(enhanced, line[:1]+".") {
			return r, fmt.Errorf("reply line %q has classes that differ", line)
		}
		if text, err = undouble(text); err != nil {
			return r, err
		}
		r.Code, r.Enhanced = code, enhanced
		texts = append(texts, text)
	}
	r.Text = strings.Join(texts, "\n")
	return r, nil
}

// undouble makes single percent signs of double ones and refuses control
// characters and percent signs that stand alone, for which Sendmail drops the
// text.
func undouble(s string) (string, error) {
	if strings.Contains(strings.ReplaceAll(s, "%%", ""), "%") {
		return "", fmt.Errorf("reply text %q has a single %%", s)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("reply text %q is not printable", s)
	}
	return strings.ReplaceAll(s, "%%", "%"), nil
}

// parseEdit reads an edit; ok is false when code is none. What was not agreed
// is an error, as in an MTA.
func (c *Client) parseEdit(code byte, data []byte) (e Edit, ok bool, err error) {
	e.Op = Op(code)
	need := map[Op]uint32{OpAdd: AddHeader, OpInsert: AddHeader, OpChange: ChangeHeader, OpHold: Quarantine}[e.Op]
	if need == 0 {
		return e, false, nil
	}
	if c.agreed.Actions&need == 0 {
		return e, false, fmt.Errorf("edit %q was not agreed", code)
	}
	if e.Op == OpInsert || e.Op == OpChange {
		if len(data) < 4 {
			return e, false, fmt.Errorf("edit %q without an index", code)
		}
		e.Index, data = binary.BigEndian.Uint32(data), data[4:]
	}
	if e.Op == OpChange && e.Index == 0 {
		return e, false, fmt.Errorf("edit %q of field 0", code)
	}
	parts := strings.Split(string(data), "\x00")
	if e.Op == OpHold {
		parts = append([]string{""}, parts...)
	}
	if len(parts) != 3 || parts[2] != "" {
		return e, false, fmt.Errorf("edit %q has %d strings", code, len(parts)-1)
	}
	e.Name, e.Value = parts[0], parts[1]
	return e, true, checkEdit(e)
}

// checkEdit refuses a value that would end its field or its header.
func checkEdit(e Edit) error {
	if strings.ContainsAny(e.Name, "\r\n:") || strings.Contains(e.Value, "\r") {
		return fmt.Errorf("edit %q has a line end in it", e.Name+":"+e.Value)
	}
	for i := range len(e.Value) {
		if e.Value[i] == '\n' && (i+1 == len(e.Value) || !isSpace(e.Value[i+1])) {
			return fmt.Errorf("edit %q begins a new field", e.Name+":"+e.Value)
		}
	}
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }
