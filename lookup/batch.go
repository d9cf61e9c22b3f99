package lookup

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"dmarcgate/auth/dmarc"
	"dmarcgate/message"
	"dmarcgate/term"
)

// Limits of a batch.
const (
	maxBatchLine    = 1024    // bytes; as much text as message.ParseDomain reads
	maxBatchDomains = 100_000 // of one file
	batchAtOnce     = 8       // domains looked up at a time
)

// batchLine is a line of the file that is not empty.
type batchLine struct {
	number int
	domain string
	err    error // why it is no domain
}

// readBatch reads one domain a line. What follows a "#" is a comment.
func readBatch(r io.Reader) ([]batchLine, error) {
	var out []batchLine
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxBatchLine+2), maxBatchLine+2) // with the line end
	number := 0
	for lines.Scan() {
		number++
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if len(out) == maxBatchDomains {
			return nil, fmt.Errorf("line %d: more than %d domains", number, maxBatchDomains)
		}
		l := batchLine{number: number}
		if l.domain, l.err = message.ParseDomain(text); l.err != nil {
			l.domain = term.Printable(text)
		}
		out = append(out, l)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: longer than %d bytes", number+1, maxBatchLine)
	}
	return out, lines.Err()
}

func openBatch(path string) ([]batchLine, error) {
	if path == "-" {
		return readBatch(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := readBatch(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// Batch looks up the domains of a file, one a line, or of standard input when the
// path is "-", and prints them in its order, with a summary last. It ends with an
// error when one of them could not be looked up or has a defect that changes what
// its record means.
func Batch(ctx context.Context, out io.Writer, path string, o Options) error {
	list, err := openBatch(path)
	if err != nil {
		return err
	}
	sum := newSummary()
	enc := json.NewEncoder(out)
	done := 0
	defer o.Progress.Clear()
	err = looker{in: o.Site, dns: o.DNS}.lookAll(ctx, list, func(line batchLine, s *domainReport) error {
		done++
		o.Progress.Count(done, len(list), "domain")
		sum.add(line, s)
		if o.JSON {
			return enc.Encode(s)
		}
		_, err := fmt.Fprintln(out, s.line())
		return err
	})
	switch {
	case err != nil:
		return err
	case o.JSON:
		err = enc.Encode(map[string]*summary{"summary": sum})
	default:
		_, err = io.WriteString(out, sum.text())
	}
	if err != nil {
		return err
	}
	return sum.failure()
}

// lookAll looks up at most batchAtOnce domains at a time, and hands them out in
// the order of the list. It ends early when f fails.
func (l looker) lookAll(ctx context.Context, list []batchLine, f func(batchLine, *domainReport) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	// A slot is taken before a look begins, and one more is with f.
	looks := make(chan chan *domainReport, batchAtOnce-1)
	wg.Go(func() {
		defer close(looks)
		for _, line := range list {
			look := make(chan *domainReport, 1)
			select {
			case looks <- look:
			case <-ctx.Done():
				return
			}
			wg.Go(func() { look <- l.lookLine(ctx, line) })
		}
	})
	for _, line := range list {
		if err := f(line, <-<-looks); err != nil {
			return err
		}
	}
	return nil
}

func (l looker) lookLine(ctx context.Context, line batchLine) *domainReport {
	if line.err == nil {
		return l.look(ctx, line.domain)
	}
	s := newDomainReport(dmarc.Discovery{Author: line.domain, Method: l.method()})
	s.Error = fmt.Sprintf("line %d is not a domain: %v", line.number, line.err)
	return s
}

// line is the whole report on one line.
func (s *domainReport) line() string {
	text := s.Domain + ": "
	switch {
	case s.Error != "":
		return text + s.Error
	case s.found.Source == dmarc.SourceNone:
		text += "no record"
	case s.Result == dmarc.PermError.String():
		text += "a record that cannot be used, at " + s.PolicyDomain
	default:
		text += "policy " + s.Policy + ", record at " + s.PolicyDomain
	}
	for _, d := range s.Defects {
		if d.Changes {
			text += ", " + d.Kind
		}
	}
	return text
}

// summary counts the domains of a batch.
type summary struct {
	Domains     int            `json:"domains"` // the sum of the next five
	NoRecord    int            `json:"no_record"`
	Unusable    int            `json:"unusable_record"`
	Policies    map[string]int `json:"policy"` // none, quarantine, reject
	Unreachable int            `json:"unreachable"`
	Invalid     int            `json:"invalid"` // lines that are no domain
	Changed     int            `json:"meaning_changed"`
	Defects     map[string]int `json:"defects"` // domains with each kind that changes the meaning
}

func newSummary() *summary {
	return &summary{Policies: map[string]int{"none": 0, "quarantine": 0, "reject": 0}, Defects: map[string]int{}}
}

func (sum *summary) add(line batchLine, s *domainReport) {
	sum.Domains++
	switch {
	case line.err != nil:
		sum.Invalid++
	case s.Error != "":
		sum.Unreachable++
	case s.found.Source == dmarc.SourceNone:
		sum.NoRecord++
	case s.Result == dmarc.PermError.String():
		sum.Unusable++
	default:
		sum.Policies[s.Policy]++
	}
	if s.Changed {
		sum.Changed++
	}
	seen := make(map[string]bool)
	for _, d := range s.Defects {
		if d.Changes && !seen[d.Kind] {
			seen[d.Kind] = true
			sum.Defects[d.Kind]++
		}
	}
}

func (sum *summary) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d domains: %d without a record, %d with a record that cannot be used, %d unreachable, %d not a domain\n",
		sum.Domains, sum.NoRecord, sum.Unusable, sum.Unreachable, sum.Invalid)
	fmt.Fprintf(&b, "policy: %d none, %d quarantine, %d reject\n", sum.Policies["none"], sum.Policies["quarantine"], sum.Policies["reject"])
	fmt.Fprintf(&b, "%d with defects that change the meaning\n", sum.Changed)
	kinds := slices.SortedFunc(maps.Keys(sum.Defects), func(a, b string) int {
		return cmp.Or(cmp.Compare(sum.Defects[b], sum.Defects[a]), cmp.Compare(a, b))
	})
	for _, kind := range kinds {
		fmt.Fprintf(&b, "  %s: %d\n", kind, sum.Defects[kind])
	}
	return b.String()
}

// failure is why the command ends with 1, if it does.
func (sum *summary) failure() error {
	if n := sum.Unreachable + sum.Invalid; n > 0 || sum.Changed > 0 {
		return fmt.Errorf("of %d domains, %d have defects that change the meaning of a record, and %d could not be looked up", sum.Domains, sum.Changed, n)
	}
	return nil
}
