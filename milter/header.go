package milter

import "bytes"

const (
	// firstChunk and lastChunk are the first and the largest allocation for
	// the fields of a header, in bytes; each one is twice the one before. An
	// ordinary header has 2 to 8 KiB. What a chunk leaves unused at its end is
	// at most a frame of 64 KiB (MILTER_MAX_DATA_SIZE), a quarter of the
	// largest.
	firstChunk = 4 << 10
	lastChunk  = 256 << 10
	// fieldCost is what a field takes besides its bytes: its slice here, and
	// its name and its slice in the message.
	fieldCost = 80
)

// header collects raw fields. Their bytes stay where they were first written:
// a buffer that grows as a whole would be copied again and again, and leave
// several times its size to the garbage collector.
type header struct {
	list  [][]byte
	chunk []byte // the last one, filled up to its length
	size  int    // bytes in fields
	cost  int    // bytes of memory: all chunks, and fieldCost for each field
}

// room returns how many bytes a field may take: its frame, a CR for each LF
// and a space after it, and what stands between name and value and at the end.
func room(name, value []byte) int {
	return len(name) + len(value) + 2*bytes.Count(value, []byte{'\n'}) + len(": \r\n")
}

// need returns the memory that a field adds, which is known before it is
// allocated.
func (h *header) need(name, value []byte) int {
	need := fieldCost + len(name)
	if n := room(name, value); n > cap(h.chunk)-len(h.chunk) {
		need += h.next(n)
	}
	return need
}

// next returns the size of the next chunk, which has to hold n bytes.
func (h *header) next(n int) int {
	return max(n, min(lastChunk, max(firstChunk, 2*cap(h.chunk))))
}

// add appends a field. MTAs give folds as a bare LF and, unless they keep it,
// remove one space after the colon; both are put back, so that the field is
// what was signed.
func (h *header) add(name, value []byte, keepsSpace bool) {
	h.cost += h.need(name, value)
	if n := room(name, value); n > cap(h.chunk)-len(h.chunk) {
		h.chunk = make([]byte, 0, h.next(n))
	}
	start := len(h.chunk)
	h.chunk = appendField(h.chunk, name, value, keepsSpace)
	end := len(h.chunk)
	h.size += end - start
	h.list = append(h.list, h.chunk[start:end:end])
}

func appendField(b, name, value []byte, keepsSpace bool) []byte {
	b = append(append(b, name...), ':')
	if !keepsSpace {
		b = append(b, ' ')
	}
	value = bytes.TrimRight(value, "\r\n")
	for {
		line, rest, more := bytes.Cut(value, []byte{'\n'})
		b = append(b, bytes.TrimSuffix(line, []byte{'\r'})...)
		b = append(b, '\r', '\n')
		if !more {
			return b
		}
		// A line that does not begin with white space would be a field of
		// its own. No MTA sends one; a space keeps it where it belongs.
		if len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t' {
			b = append(b, ' ')
		}
		value = rest
	}
}

// fields returns the fields. They share memory, and none can grow into the
// next.
func (h *header) fields() [][]byte { return h.list }

// full reports whether a field, with so many bytes in its frame, is beyond the
// limits.
func (h *header) full(frame int, l Limits) bool {
	return len(h.list) >= l.HeaderFields || h.size+frame > l.HeaderBytes
}

// show shows a field to what sees those beyond the limits. h holds that one
// field only, and its memory serves for the next one.
func (h *header) show(to Overflow, name, value []byte, keepsSpace bool) {
	h.chunk = appendField(h.chunk[:0], name, value, keepsSpace)
	to.Field(h.chunk[:len(h.chunk):len(h.chunk)])
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
