package miltertest

import (
	"bytes"
	"strings"
)

// Apply returns the message with the edits made as Postfix makes them: fields
// of a name are counted from 1, an inserted one counts, and those after a
// deleted one are renumbered at once. The MTA's own Received field is not
// there, so index 0 is the top. Lines end as those of message do.
func Apply(message []byte, r Result) []byte {
	end := "\n"
	if bytes.Contains(message, []byte("\r\n")) {
		end = "\r\n"
	}
	head, body := cutHeader(strings.ReplaceAll(string(message), "\r\n", "\n"))
	for _, e := range r.Edits {
		head = applyEdit(head, e, r.LeadingSpace)
	}
	out := strings.Join(head, "") + body
	return []byte(strings.ReplaceAll(out, "\n", end))
}

// cutHeader returns the fields, each with its folds and last LF, and the rest
// of the message with the empty line before the body.
func cutHeader(text string) (fields []string, rest string) {
	for text != "" {
		line, after, _ := strings.Cut(text, "\n")
		switch {
		case line != "" && isSpace(line[0]) && len(fields) > 0:
			fields[len(fields)-1] += line + "\n"
		case fieldName(line) == "":
			return fields, text
		default:
			fields = append(fields, line+"\n")
		}
		text = after
	}
	return fields, ""
}

func fieldName(line string) string {
	name, _, ok := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	if !ok || strings.ContainsAny(name, " \t") {
		return ""
	}
	return name
}

func applyEdit(head []string, e Edit, leadingSpace bool) []string {
	field := e.Name + ":" + e.Value + "\n"
	if !leadingSpace {
		field = e.Name + ": " + e.Value + "\n"
	}
	switch e.Op {
	case OpAdd:
		return append(head, field)
	case OpInsert:
		return insert(head, int(min(e.Index, uint32(len(head)))), field)
	case OpChange:
		i := find(head, e.Name, e.Index)
		switch {
		case i < 0 && e.Value == "":
			return head
		case i < 0:
			return append(head, field)
		case e.Value == "":
			return append(head[:i:i], head[i+1:]...)
		}
		return append(append(head[:i:i], field), head[i+1:]...)
	}
	return head
}

func insert(head []string, i int, field string) []string {
	return append(append(head[:i:i], field), head[i:]...)
}

// find returns the position of the nth field called name, or -1.
func find(head []string, name string, nth uint32) int {
	for i, f := range head {
		// In ASCII only, as MTAs do: a name with another letter is longer.
		if n := fieldName(f); len(n) != len(name) || !strings.EqualFold(n, name) {
			continue
		}
		if nth--; nth == 0 {
			return i
		}
	}
	return -1
}
