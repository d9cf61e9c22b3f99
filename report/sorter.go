package report

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
)

const (
	// DefaultMemory is Builder.Memory: the groups of a day of a large site.
	DefaultMemory = 16 << 20

	chunkBytes = 1 << 18 // of the memory of a sorter
	runBuffer  = 1 << 16 // for reading or writing a run
	maxRuns    = 64      // runs of a sorter; more are merged into one

	// maxKeyBytes is more than the longest key: a record of MaxSignatures signatures with
	// all names and texts at their limits.
	maxKeyBytes = 1 << 17
)

// errKey means that a key is longer than any record can be.
var errKey = errors.New("report: key too long")

// sorter counts equal keys and gives them back in order. It keeps as many as its memory
// has room for; then it writes them, sorted, to a temporary file (a run). Keys are in no
// Go object of their own, so that a million of them cost the garbage collector nothing.
type sorter struct {
	dir   string
	limit int // bytes of memory

	seed    maphash.Seed
	chunks  [][]byte // entries one behind the other; an entry is count, length, hash, key
	used    int      // chunks in use
	table   []uint32 // place+1 of an entry, by hash; a power of two
	entries []uint32 // places: chunk number and offset
	sorted  bool     // entries are in order

	runs []run
}

// entryHead is the length of count, length and hash before a key.
const entryHead = 8 + 4 + 4

// run is a temporary file that has no name any more.
type run struct {
	file *os.File
	size int64
}

func newSorter(dir string, limit int) *sorter {
	return &sorter{dir: dir, limit: max(limit, 2*chunkBytes), seed: maphash.MakeSeed(), table: make([]uint32, 1024)}
}

// close removes the runs.
func (s *sorter) close() error {
	var errs []error
	for _, r := range s.runs {
		errs = append(errs, r.file.Close())
	}
	s.runs = nil
	return errors.Join(errs...)
}

// reset forgets everything but the memory.
func (s *sorter) reset() error {
	s.clear()
	return s.close()
}

func (s *sorter) clear() {
	clear(s.table)
	s.used, s.entries, s.sorted = 0, s.entries[:0], false
}

// at returns the entry of a place: its head and all behind it.
func (s *sorter) at(place uint32) []byte {
	return s.chunks[place/chunkBytes][place%chunkBytes:]
}

// key returns the key of an entry.
func (s *sorter) key(place uint32) []byte {
	e := s.at(place)
	return e[entryHead : entryHead+binary.LittleEndian.Uint32(e[8:])]
}

func (s *sorter) count(place uint32) int64 { return int64(binary.LittleEndian.Uint64(s.at(place))) }

// add counts a key n times.
func (s *sorter) add(key []byte, n int64) error {
	hash := uint32(maphash.Bytes(s.seed, key))
	if place := s.table[s.find(hash, key)]; place != 0 {
		e := s.at(place - 1)
		binary.LittleEndian.PutUint64(e, binary.LittleEndian.Uint64(e)+uint64(n))
		return nil
	}
	place, err := s.put(key, n, hash)
	if err != nil {
		return err
	}
	s.table[s.find(hash, key)] = place + 1
	if 2*len(s.entries) > len(s.table) {
		s.grow()
	}
	return nil
}

// addNew is add for a key that no other key of the sorter equals.
func (s *sorter) addNew(key []byte, n int64) error {
	_, err := s.put(key, n, 0)
	return err
}

// put takes a key that is not in memory, and returns its place.
func (s *sorter) put(key []byte, n int64, hash uint32) (uint32, error) {
	if len(key) > maxKeyBytes {
		return 0, errKey
	}
	if s.full(entryHead + len(key)) {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	place := s.append(key, n, hash)
	s.entries, s.sorted = append(s.entries, place), false
	return place, nil
}

// find returns the slot of a key, or the free one for it.
func (s *sorter) find(hash uint32, key []byte) int {
	mask := len(s.table) - 1
	slot := int(hash) & mask
	for ; s.table[slot] != 0; slot = (slot + 1) & mask {
		place := s.table[slot] - 1
		if e := s.at(place); binary.LittleEndian.Uint32(e[12:]) == hash && bytes.Equal(s.key(place), key) {
			return slot
		}
	}
	return slot
}

// grow doubles the table.
func (s *sorter) grow() {
	s.table = make([]uint32, 2*len(s.table))
	mask := len(s.table) - 1
	for _, place := range s.entries {
		slot := int(binary.LittleEndian.Uint32(s.at(place)[12:])) & mask
		for s.table[slot] != 0 {
			slot = (slot + 1) & mask
		}
		s.table[slot] = place + 1
	}
}

// full reports whether an entry of that many bytes has no room any more.
func (s *sorter) full(size int) bool {
	if len(s.entries) == 0 || s.used > 0 && len(s.chunks[s.used-1])+size <= chunkBytes {
		return false
	}
	return (s.used+1)*chunkBytes+8*len(s.entries) > s.limit
}

// append writes an entry behind the others and returns its place.
func (s *sorter) append(key []byte, n int64, hash uint32) uint32 {
	if s.used == 0 || len(s.chunks[s.used-1])+entryHead+len(key) > chunkBytes {
		if s.used == len(s.chunks) {
			s.chunks = append(s.chunks, make([]byte, 0, chunkBytes))
		}
		s.chunks[s.used] = s.chunks[s.used][:0]
		s.used++
	}
	c := s.chunks[s.used-1]
	place := uint32((s.used-1)*chunkBytes + len(c))
	c = binary.LittleEndian.AppendUint64(c, uint64(n))
	c = binary.LittleEndian.AppendUint32(c, uint32(len(key)))
	c = binary.LittleEndian.AppendUint32(c, hash)
	s.chunks[s.used-1] = append(c, key...)
	return place
}

// order sorts what is in memory.
func (s *sorter) order() {
	if !s.sorted {
		slices.SortFunc(s.entries, func(a, b uint32) int { return bytes.Compare(s.key(a), s.key(b)) })
		s.sorted = true
	}
}

// spill writes what is in memory as a run, and frees the memory.
func (s *sorter) spill() error {
	if len(s.runs) == maxRuns {
		merged, err := s.write(s.merge)
		if err != nil {
			return err
		}
		if err := s.close(); err != nil {
			return errors.Join(err, merged.file.Close())
		}
		s.runs = []run{merged}
	}
	s.order()
	r, err := s.write(s.inMemory)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, r)
	s.clear()
	return nil
}

func (s *sorter) inMemory(f func(key []byte, n int64) error) error {
	for _, place := range s.entries {
		if err := f(s.key(place), s.count(place)); err != nil {
			return err
		}
	}
	return nil
}

// merge gives the keys of the runs alone.
func (s *sorter) merge(f func(key []byte, n int64) error) error { return merge(s.sources(), f) }

// each gives every key once, in order, with how often it was counted. It can be called
// again as long as nothing is added.
func (s *sorter) each(f func(key []byte, n int64) error) error {
	s.order()
	if len(s.runs) == 0 {
		return s.inMemory(f)
	}
	return merge(append(s.sources(), &memorySource{s: s}), f)
}

func (s *sorter) sources() []source {
	list := make([]source, len(s.runs))
	for i, r := range s.runs {
		list[i] = &runSource{in: bufio.NewReaderSize(io.NewSectionReader(r.file, 0, r.size), runBuffer)}
	}
	return list
}

// write makes a run of what each gives: of a key, how much of it is that of the key before,
// the rest, and the count.
func (s *sorter) write(each func(func(key []byte, n int64) error) error) (r run, err error) {
	file, err := os.CreateTemp(s.dir, "report-*.run")
	if err != nil {
		return run{}, fmt.Errorf("report: writing a temporary file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("report: writing a temporary file: %w", err), file.Close())
		}
	}()
	if err := os.Remove(file.Name()); err != nil { // nothing stays behind, not even after a kill
		return run{}, err
	}
	w := bufio.NewWriterSize(file, runBuffer)
	var last, head []byte
	err = each(func(key []byte, n int64) error {
		shared := common(last, key)
		head = binary.AppendUvarint(head[:0], uint64(shared))
		head = binary.AppendUvarint(head, uint64(len(key)-shared))
		head = binary.AppendUvarint(head, uint64(n))
		r.size += int64(len(head) + len(key) - shared)
		last = append(last[:shared], key[shared:]...)
		_, err := w.Write(head)
		if err == nil {
			_, err = w.Write(key[shared:])
		}
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	r.file = file
	return r, err
}

// common is how many bytes two keys begin with that are the same.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
