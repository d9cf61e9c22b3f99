package dbfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// The log (sqlite.org/fileformat2.html, Section 4): a header of 32 bytes, then
// frames, each with a header of 24 bytes and a page.
const (
	logHeaderSize   = 32
	frameHeaderSize = 24
	logMagic        = 0x377f0682 // with the lowest bit for big-endian checksums
	// maxLog is how much of a log is looked at: it is a hundred times larger than
	// one that is moved into the file in time.
	maxLog = 1 << 30
)

// commits is how many commits a log has.
type commits struct {
	whole int
	lost  int // behind the first frame that does not fit
}

// inspectLog reads a log as SQLite would, which takes the part before the first
// frame that does not fit for all of it. After a kill nothing is behind that;
// after a loss of power the last commits may have suffered. A log whose header
// cannot be read is damage.
func inspectLog(path string) (commits, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return commits{}, nil
	}
	if err != nil {
		return commits{}, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(io.LimitReader(f, maxLog), 1<<16)
	var l logReader
	if err := l.begin(in); err != nil {
		return commits{}, err
	}
	return l.count(in)
}

// logReader reads frames.
type logReader struct {
	order binary.ByteOrder // of checksums
	salt  [8]byte
	sum   [2]uint32
	frame []byte // nil when there is no log
}

func (l *logReader) begin(in *bufio.Reader) error {
	var h [logHeaderSize]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return ended(err) // SQLite writes the header first
	}
	if bytes.Count(h[:], []byte{0}) == len(h) && onlyZeros(in) {
		return nil // it was made, and never reached the disk
	}
	l.order = binary.LittleEndian
	if h[3]&1 != 0 {
		l.order = binary.BigEndian
	}
	l.add(h[:24])
	if binary.BigEndian.Uint32(h[:])&^1 != logMagic || l.sum != pair(h[24:]) {
		return fmt.Errorf("%w: the header of its log cannot be read", ErrMalformed)
	}
	size := binary.BigEndian.Uint32(h[8:])
	if size < 512 || size > 65536 || size&(size-1) != 0 {
		return fmt.Errorf("%w: its log has a page size of %d", ErrMalformed, size)
	}
	l.salt = [8]byte(h[16:24])
	l.frame = make([]byte, frameHeaderSize+size)
	return nil
}

// count counts the commits. Frames with other salts are of an earlier round.
func (l *logReader) count(in io.Reader) (found commits, err error) {
	for fits := true; l.frame != nil; {
		if _, err := io.ReadFull(in, l.frame); err != nil {
			return found, ended(err)
		}
		ours := [8]byte(l.frame[8:16]) == l.salt
		if fits {
			l.add(l.frame[:8])
			l.add(l.frame[frameHeaderSize:])
			fits = ours && l.sum == pair(l.frame[16:])
		}
		commit := binary.BigEndian.Uint32(l.frame[4:]) != 0 // the size of the file after it
		switch {
		case fits && commit:
			found.whole++
		case ours && commit:
			found.lost++
		}
	}
	return found, nil
}

// add continues the checksum.
func (l *logReader) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		l.sum[0] += l.order.Uint32(b) + l.sum[1]
		l.sum[1] += l.order.Uint32(b[4:]) + l.sum[0]
	}
}

func pair(b []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

func onlyZeros(in *bufio.Reader) bool {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return err == io.EOF
		}
		if b != 0 {
			return false
		}
	}
}

// ended takes the end of the log for no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
