package xml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"dmarcgate/report"
)

// Limits of a document that is read. A stranger chooses what is in it.
const (
	// MaxExpanded is how many bytes of a document are read: less than 700,000 of the
	// shortest records.
	MaxExpanded = 64 << 20
	// MaxText is how long the text of an element is, in bytes. A longer one is an error.
	MaxText = 4 << 10

	maxDepth   = 16   // elements in each other; the schemas have 6
	maxErrors  = 100  // elements error
	maxReasons = 100  // of a record
	maxResults = 1000 // signatures of a record
	maxToken   = 1 << 20
)

var (
	// ErrMalformed means that a document is no report, or not one that can be read.
	ErrMalformed = errors.New("not a report")
	// ErrLimit means that a document is beyond the limits.
	ErrLimit = errors.New("report is beyond the limits")
)

// Read reads a document and calls f for each record, whose value is valid until the next.
// It ends with f's error. The Report has what stands before the records, without Records,
// and the sums; what the document does not say is zero.
//
// Read is lenient where large reporters are not exact: it goes by the local names of
// elements in any order, skips elements that it does not know, and takes words in any
// letter case, old words among them. It is strict about XML, about counts and addresses,
// and refuses document type declarations.
func Read(r io.Reader, f func(*report.Record) error) (*report.Report, error) {
	return read(r, MaxExpanded, f)
}

// read is Read of at most so many bytes.
func read(r io.Reader, most int64, f func(*report.Record) error) (*report.Report, error) {
	d := &reader{in: &limited{from: r, left: most}, give: f}
	d.xml = xml.NewDecoder(d.in)
	d.xml.CharsetReader = charset
	if err := d.document(); err != nil {
		if d.in.left < 0 {
			err = fmt.Errorf("%w: more than %d bytes", ErrLimit, most)
		}
		line, _ := d.xml.InputPos()
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return &d.report, nil
}

// charset reads encodings of which ASCII is a part: nothing else is in a field that counts.
func charset(name string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "us-ascii", "ascii", "iso-8859-1", "windows-1252":
		return &latin{in: in}, nil
	}
	return nil, fmt.Errorf("%w: encoding %.20q", ErrMalformed, name)
}

// latin replaces bytes above ASCII.
type latin struct{ in io.Reader }

func (l *latin) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	for i := range p[:n] {
		if p[i] >= 0x80 {
			p[i] = '?'
		}
	}
	return n, err
}

// limited is a reader of some bytes; left is negative when there were more. token counts
// those since the last token: encoding/xml keeps a whole token in memory.
type limited struct {
	from  io.Reader
	left  int64
	token int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, ErrLimit
	}
	n, err := l.from.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrLimit
	}
	if l.token += n; l.token > maxToken {
		return 0, fmt.Errorf("%w: an element, text or comment of more than %d bytes", ErrLimit, maxToken)
	}
	return n, err
}

// reader reads one document. Path is the elements that are open; raw tokens are read, which
// spares what encoding/xml does for namespaces.
type reader struct {
	in     *limited
	xml    *xml.Decoder
	give   func(*report.Record) error
	report report.Report
	seen   map[string]bool // elements above records that came once
	record recordReader
	path   []xml.Name
	text   []byte
}

// document reads up to the end of the root element and of the file.
func (d *reader) document() error {
	d.seen = make(map[string]bool)
	for {
		d.in.token = 0
		t, err := d.xml.RawToken()
		if err == io.EOF {
			return d.finish()
		}
		if err != nil {
			return malformed(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			err = d.open(t)
		case xml.EndElement:
			err = d.close(t.Name)
		case xml.CharData:
			err = d.chars(t)
		case xml.Directive:
			err = fmt.Errorf("%w: it has a document type declaration", ErrMalformed)
		}
		if err != nil {
			return err
		}
	}
}

// malformed adds ErrMalformed to an error of the XML reader; one of ours has its own.
func malformed(err error) error {
	if errors.Is(err, ErrLimit) || errors.Is(err, ErrMalformed) {
		return err
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w: %s", ErrMalformed, syntax.Msg)
	}
	return err
}

func (d *reader) open(t xml.StartElement) error {
	if len(d.path) == 0 {
		if d.seen["feedback"] || t.Name.Local != "feedback" {
			return fmt.Errorf("%w: its root element is %.40q", ErrMalformed, t.Name.Local)
		}
		d.seen["feedback"] = true
		d.root(t)
	}
	if len(d.path) == maxDepth {
		return fmt.Errorf("%w: more than %d elements in each other", ErrLimit, maxDepth)
	}
	d.path = append(d.path, t.Name)
	d.text = d.text[:0]
	if len(d.path) == 2 && t.Name.Local == "record" {
		d.report.Rows++
		d.record.begin()
	}
	return nil
}

// root tells the forms apart by their namespace; what elements there are may correct it.
func (d *reader) root(t xml.StartElement) {
	d.report.Form = report.RFC7489
	d.report.Published.Pct = 100
	for _, a := range t.Attr {
		if (a.Name.Local == "xmlns" || a.Name.Space == "xmlns") && a.Value == namespace {
			d.report.Form = report.RFC9990
		}
	}
}

func (d *reader) chars(c xml.CharData) error {
	if len(d.path) == 0 {
		if len(strings.TrimSpace(strings.TrimPrefix(string(c), "\ufeff"))) > 0 {
			return fmt.Errorf("%w: text outside of the root element", ErrMalformed)
		}
		return nil
	}
	if len(d.text)+len(c) > MaxText {
		return fmt.Errorf("%w: a text of more than %d bytes", ErrLimit, MaxText)
	}
	d.text = append(d.text, c...)
	return nil
}

// close takes the value of the element that ends.
func (d *reader) close(name xml.Name) error {
	if len(d.path) == 0 || d.path[len(d.path)-1] != name {
		return fmt.Errorf("%w: the end of %.40q does not fit", ErrMalformed, name.Local)
	}
	err := d.value()
	d.path, d.text = d.path[:len(d.path)-1], d.text[:0]
	return err
}

// value takes the text of the innermost element, or concludes a record.
func (d *reader) value() error {
	if len(d.path) < 2 {
		return nil
	}
	switch d.path[1].Local {
	case "record":
		if len(d.path) > 2 {
			return d.record.value(d.path[2:], d.word())
		}
		r, err := d.record.end()
		if err != nil {
			return err
		}
		d.report.Messages += r.Count
		return d.give(r)
	case "report_metadata", "policy_published":
		return d.meta()
	}
	return nil
}

// word is the text of the innermost element without blanks around it.
func (d *reader) word() string { return strings.TrimSpace(string(d.text)) }

func (d *reader) finish() error {
	switch {
	case len(d.path) > 0 || !d.seen["feedback"]:
		return fmt.Errorf("%w: it ends too early", ErrMalformed)
	case d.report.Rows == 0:
		return fmt.Errorf("%w: it has no records", ErrMalformed)
	case !d.seen["begin"] || !d.seen["end"] || d.report.PolicyDomain == "":
		return fmt.Errorf("%w: it has no period or no policy domain", ErrMalformed)
	}
	return d.period()
}
