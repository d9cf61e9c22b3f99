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

// full reports whether a field, with so many bytes in its frame, is beyond the
// limits.
func (h *header) full(frame int, l Limits) bool {
	return len(h.ends) >= l.HeaderFields || len(h.buf)+frame > l.HeaderBytes
}

// show shows a field to what sees those beyond the limits. h holds that one
// field only, and its memory serves for the next one.
func (h *header) show(to Overflow, name, value []byte, keepsSpace bool) {
	h.buf, h.ends = h.buf[:0], h.ends[:0]
	h.add(name, value, keepsSpace)
	to.Field(h.buf[:len(h.buf):len(h.buf)])
}

// Take does with a header that is read from a file what a session does with one
// that an MTA sends: it returns the fields within the limits, shows the others
// to the handler, and notes both in env. Elements of header are as in
// Handler.Start.
func (l Limits) Take(h Handler, env *Envelope, raw [][]byte) [][]byte {
	l = l.withDefaults()
	env.HeaderTruncated, env.Overflow = false, nil
	var kept, last header
	for _, field := range raw {
		name, value, _ := bytes.Cut(field, []byte{':'})
		value = bytes.ReplaceAll(bytes.TrimRight(value, "\r\n"), []byte("\r\n"), []byte{'\n'})
		// In a frame, name and value have a NUL behind them each.
		env.HeaderTruncated = env.HeaderTruncated || kept.full(len(name)+len(value)+2, l)
		if !env.HeaderTruncated {
			kept.add(name, value, true)
			continue
		}
		if env.Overflow == nil {
			env.Overflow = h.Overflow(env, kept.fields())
		}
		last.show(env.Overflow, name, value, true)
	}
	return kept.fields()
}
