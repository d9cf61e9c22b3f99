package dbfile

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// An index on queue ids would double what a row costs: Postfix's short ids come
// in no order, so that each row changes another page of it. Instead, rows are
// written to the table digest in blocks, each with the sorted hashes of its
// queue ids. A search looks into every block, which takes some 20 ms for 1,000,000
// rows, and reads the rows behind the last one.
const (
	digestEntry = 4 + 2 // bytes: hash, and the row's distance from the first, both big-endian

	// MaxDistance is the most that the numbers of two rows of a block may differ by.
	MaxDistance = 1<<16 - 1
)

// Noted is a row whose queue id is in no block yet.
type Noted struct {
	Hash     uint32
	Sequence int64
}

// HashID returns the hash of a queue id, FNV-1a. Files hold it.
func HashID(qid string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(qid))
	return h.Sum32()
}

// Block returns the bytes of a block.
func Block(rows []Noted) []byte {
	first := rows[0].Sequence
	sorted := slices.SortedFunc(slices.Values(rows), func(a, b Noted) int { return cmp.Or(cmp.Compare(a.Hash, b.Hash), cmp.Compare(a.Sequence, b.Sequence)) })
	out := make([]byte, 0, digestEntry*len(rows))
	for _, r := range sorted {
		out = binary.BigEndian.AppendUint32(out, r.Hash)
		out = binary.BigEndian.AppendUint16(out, uint16(r.Sequence-first))
	}
	return out
}

// Find returns the numbers of the rows of a block with this hash.
func Find(block []byte, first int64, hash uint32) []int64 {
	lo, hi := 0, len(block)/digestEntry
	for lo < hi {
		if mid := (lo + hi) / 2; binary.BigEndian.Uint32(block[mid*digestEntry:]) < hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	var out []int64
	for rest := block[lo*digestEntry:]; len(rest) >= digestEntry && binary.BigEndian.Uint32(rest) == hash; rest = rest[digestEntry:] {
		out = append(out, first+int64(binary.BigEndian.Uint16(rest[4:])))
	}
	return out
}
