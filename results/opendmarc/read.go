package opendmarc

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"time"

	"dmarcgate/results"
)

// Limits of a file. The longest line that OpenDMARC writes is arc_policy, with
// some 100 bytes for each of at most 50 hops (RFC 8617, Section 4.2.1).
const (
	maxLine    = 64 << 10
	maxLines   = 1000 // of a block
	maxSigners = 100  // signatures of a message
)

// Message is one block of a file.
type Message struct {
	Line int // of its first line, from 1
	Row  results.Row
	Why  Refusal // "" when Row is good
}

// Refusal says why a block is no row.
type Refusal string

// The reasons.
const (
	NoJob       Refusal = "lines before the first job"
	NoReporter  Refusal = "no reporter"
	NoTime      Refusal = "no received"
	BadJob      Refusal = "job is not a queue id"
	BadReporter Refusal = "reporter is not a host name"
	BadTime     Refusal = "received is not a time that can be"
	BadClient   Refusal = "ipaddr is not an address"
	BadNumber   Refusal = "a number cannot be read"
	BadAction   Refusal = "action is unknown"
	TooLong     Refusal = "a line is too long"
	TooMany     Refusal = "there are too many lines"
)

// Reader reads one file.
type Reader struct {
	in    *bufio.Reader
	now   time.Time
	line  int
	ahead *string // the line that the next block begins with
	long  bool    // that line was too long
}

// NewReader reads a file. now is the present: a message from the future is
// refused.
func NewReader(in io.Reader, now time.Time) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, maxLine), now: now}
}

// Next returns the next block, and io.EOF after the last one.
func (r *Reader) Next() (Message, error) {
	b := block{why: NoJob}
	if r.ahead != nil {
		b = newBlock(*r.ahead, r.line)
		if r.long {
			b.refuse(TooLong)
		}
		r.ahead = nil
	}
	for {
		text, long, err := r.readLine()
		if err == io.EOF && b.line > 0 {
			return b.message(r.now), nil
		}
		if err != nil {
			return Message{}, err
		}
		key, _ := cut(text)
		switch {
		case key == "":
			continue
		case key == "job" && b.line > 0:
			r.ahead, r.long = &text, long
			return b.message(r.now), nil
		case key == "job":
			b = newBlock(text, r.line)
		case b.line == 0:
			b.line = r.line
		}
		if long {
			b.refuse(TooLong)
		}
		if key != "job" {
			b.add(text)
		}
	}
}

// readLine returns the next line without its end. Of one that is too long it
// returns the beginning.
func (r *Reader) readLine() (text string, long bool, err error) {
	part, err := r.in.ReadSlice('\n')
	text = string(part)
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		_, err = r.in.ReadSlice('\n')
	}
	if err == io.EOF && text != "" {
		err = nil // the last line has no end
	}
	r.line++
	return strings.TrimRight(text, "\r\n"), long, err
}

// cut parts a line into its key and the rest.
func cut(line string) (key, rest string) {
	line = strings.Trim(line, " \t")
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.Trim(line[i:], " \t")
}
