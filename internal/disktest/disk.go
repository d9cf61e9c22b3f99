package disktest

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// Disk is a disk while a process writes to it. The zero value is an empty one.
type Disk struct{ files map[string]*file }

// file is one file of it. No content is another thing than an empty one: then
// the file is not there.
type file struct {
	now    []byte // as a process reads it
	synced []byte // as the disk surely has it
	since  []Op   // what was done since the last sync
}

// Do does what an Op says.
func (d *Disk) Do(op Op) {
	if d.files == nil {
		d.files = make(map[string]*file)
	}
	if op.Kind == Sync {
		d.syncNames(op.Path)
	}
	f := d.files[op.Path]
	if f == nil {
		f = &file{}
		d.files[op.Path] = f
	}
	if op.Kind == Sync {
		for _, earlier := range f.since {
			f.synced = apply(f.synced, earlier)
		}
		f.since = nil
		return
	}
	if op.Kind == Write && op.At < 0 {
		op.At = int64(len(f.now))
	}
	f.now = apply(f.now, op)
	f.since = append(f.since, op)
}

// syncNames makes what was removed from a directory stay away.
func (d *Disk) syncNames(dir string) {
	for path, f := range d.files {
		if filepath.Dir(path) != dir {
			continue
		}
		for i, op := range slices.Backward(f.since) {
			if op.Kind == Remove {
				f.synced, f.since = nil, f.since[i+1:]
				break
			}
		}
	}
}

// apply returns the content after an Op.
func apply(content []byte, op Op) []byte {
	switch op.Kind {
	case Remove:
		return nil
	case Truncate:
		return resize(content, op.At)
	case Write:
		if end := op.At + int64(len(op.Data)); end > int64(len(content)) {
			content = resize(content, end)
		}
		copy(content[op.At:], op.Data)
	}
	return content
}

func resize(content []byte, size int64) []byte {
	if more := size - int64(len(content)); more > 0 || content == nil {
		return append(content, make([]byte, more)...)
	}
	return content[:size]
}

// Killed returns the files, by path, as the end of the process leaves them.
func (d *Disk) Killed() map[string][]byte {
	out := make(map[string][]byte)
	for path, f := range d.files {
		if f.now != nil {
			out[path] = f.now
		}
	}
	return out
}

// Cut returns the files as a power cut may leave them: of what was not synced,
// any part, in the share that was asked for, 0 to 1.
func (d *Disk) Cut(r *rand.Rand, share float64) map[string][]byte {
	out := make(map[string][]byte)
	for path, f := range d.files {
		content := bytes.Clone(f.synced)
		for _, op := range f.since {
			for _, part := range sectors(op) {
				if r.Float64() < share {
					content = apply(content, part)
				}
			}
		}
		if content != nil {
			out[path] = content
		}
	}
	return out
}

// sectors divides a Write.
func sectors(op Op) []Op {
	if op.Kind != Write {
		return []Op{op}
	}
	var out []Op
	for len(op.Data) > 0 {
		n := min(sector-int(op.At%sector), len(op.Data))
		out = append(out, Op{Write, op.Path, op.At, op.Data[:n]})
		op.At, op.Data = op.At+int64(n), op.Data[n:]
	}
	return out
}
