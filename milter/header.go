package milter

import "bytes"

// header collects raw fields in one buffer.
type header struct {
	buf  []byte
	ends []int
}

// add appends a field. MTAs give folds as a bare LF and, unless they keep it,
// remove one space after the colon; both are put back, so that the field is
// what was signed.
func (h *header) add(name, value []byte, keepsSpace bool) {
	h.buf = append(append(h.buf, name...), ':')
	if !keepsSpace {
		h.buf = append(h.buf, ' ')
	}
	value = bytes.TrimRight(value, "\r\n")
	for {
		line, rest, more := bytes.Cut(value, []byte{'\n'})
		h.buf = append(h.buf, bytes.TrimSuffix(line, []byte{'\r'})...)
		h.buf = append(h.buf, '\r', '\n')
		if !more {
			break
		}
		// A line that does not begin with white space would be a field of
		// its own. No MTA sends one; a space keeps it where it belongs.
		if len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t' {
			h.buf = append(h.buf, ' ')
		}
		value = rest
	}
	h.ends = append(h.ends, len(h.buf))
}

// fields returns the fields. They share memory, and none can grow into the
// next.
func (h *header) fields() [][]byte {
	out := make([][]byte, len(h.ends))
	start := 0
	for i, end := range h.ends {
		out[i] = h.buf[start:end:end]
		start = end
	}
	return out
}
