package report

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// source gives keys in order.
type source interface {
	// next goes to the next key, and returns false behind the last.
	next() (bool, error)
	// here returns the key, which is valid until next, and its count.
	here() (key []byte, n int64)
}

// memorySource gives what a sorter has in memory, in order.
type memorySource struct {
	s  *sorter
	at int // behind the present one
}

func (m *memorySource) next() (bool, error) {
	m.at++
	return m.at <= len(m.s.entries), nil
}

func (m *memorySource) here() ([]byte, int64) {
	place := m.s.entries[m.at-1]
	return m.s.key(place), m.s.count(place)
}

// runSource reads a run.
type runSource struct {
	in  *bufio.Reader
	key []byte
	n   int64
}

// errRun means that a temporary file is not as it was written.
var errRun = errors.New("report: a temporary file is damaged")

func (r *runSource) here() ([]byte, int64) { return r.key, r.n }

func (r *runSource) next() (bool, error) {
	shared, err := binary.ReadUvarint(r.in)
	if err == io.EOF {
		return false, nil
	}
	size, err2 := binary.ReadUvarint(r.in)
	n, err3 := binary.ReadUvarint(r.in)
	if err := errors.Join(err, err2, err3); err != nil {
		return false, fmt.Errorf("%w: %w", errRun, err)
	}
	if shared > uint64(len(r.key)) || size > maxKeyBytes {
		return false, errRun
	}
	old := int(shared)
	r.key = append(r.key[:old], make([]byte, size)...)
	if _, err := io.ReadFull(r.in, r.key[old:]); err != nil {
		return false, fmt.Errorf("%w: %w", errRun, err)
	}
	r.n = int64(n)
	return true, nil
}

// merge gives the keys of all sources in order, each once, with the sum of its counts.
func merge(sources []source, f func(key []byte, n int64) error) error {
	h := heap{}
	for _, s := range sources {
		if err := h.push(s); err != nil {
			return err
		}
	}
	var key []byte
	for len(h) > 0 {
		first, sum := h[0].here()
		key = append(key[:0], first...)
		for {
			if err := h.advance(); err != nil {
				return err
			}
			if len(h) == 0 {
				break
			}
			next, n := h[0].here()
			if !bytes.Equal(next, key) {
				break
			}
			sum += n
		}
		if err := f(key, sum); err != nil {
			return err
		}
	}
	return nil
}

// heap has the source with the least key in front.
type heap []source

func (h heap) less(i, j int) bool {
	a, _ := h[i].here()
	b, _ := h[j].here()
	return bytes.Compare(a, b) < 0
}

// push takes a source that has a key.
func (h *heap) push(s source) error {
	more, err := s.next()
	if err != nil || !more {
		return err
	}
	*h = append(*h, s)
	for i := len(*h) - 1; i > 0 && h.less(i, (i-1)/2); i = (i - 1) / 2 {
		(*h)[i], (*h)[(i-1)/2] = (*h)[(i-1)/2], (*h)[i]
	}
	return nil
}

// advance has the first source go on, or leaves it out at its end.
func (h *heap) advance() error {
	more, err := (*h)[0].next()
	if err != nil {
		return err
	}
	if !more {
		last := len(*h) - 1
		(*h)[0] = (*h)[last]
		*h = (*h)[:last]
	}
	h.sink()
	return nil
}

func (h heap) sink() {
	for i := 0; ; {
		least := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(h) && h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
