package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/results"
	"dmarcgate/results/opendmarc"
	"dmarcgate/term"
)

// maxRefusals is how many refused blocks are shown with their lines; all are
// counted.
const maxRefusals = 50

// refusedBlock is a message that was not taken.
type refusedBlock struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// importReport is what became of the messages of all files.
type importReport struct {
	Messages int64 `json:"messages"` // read
	admin.Imported
	Refused map[string]int64 `json:"refused"` // by reason
	Lines   []refusedBlock   `json:"lines"`   // the first of them
}

// ImportOptions are those of Import.
type ImportOptions struct {
	Socket string   // control socket of the daemon, instead of the configured one; may be empty
	Config string   // configuration file of the daemon
	Files  []string // history files; - is standard input
	DryRun bool     // read the files, and write nothing
	JSON   bool

	Progress *term.Progress // nil shows none
}

// Import takes over the history files of OpenDMARC, and tells what became of their
// messages, even when it fails in between. An end of ctx is the one exception.
func Import(ctx context.Context, out, warn io.Writer, o ImportOptions) error {
	source := &histories{files: o.Files, now: time.Now(), progress: o.Progress, report: importReport{Refused: map[string]int64{}, Lines: []refusedBlock{}}}
	err := source.take(ctx, warn, o)
	o.Progress.Clear()
	if ended := ctx.Err(); ended != nil {
		return cmp.Or(err, ended) // a read of standard input may still go on
	}
	source.close()
	if printErr := source.report.print(out, warn, o); err == nil {
		err = printErr
	}
	return err
}

// histories reads one file after the other.
type histories struct {
	files  []string // that are left
	now    time.Time
	open   *os.File
	reader *opendmarc.Reader
	report importReport

	progress *term.Progress
}

func (h *histories) take(ctx context.Context, warn io.Writer, o ImportOptions) (err error) {
	if o.DryRun {
		for err == nil {
			_, err = h.next()
		}
		if err == io.EOF {
			err = nil
		}
		return err
	}
	cfg, err := config.Load(o.Config)
	if err != nil {
		return err
	}
	store, end, err := takeOver(ctx, warn, cfg, o.Socket)
	if err != nil {
		return err
	}
	defer atEnd(end, &err)
	h.report.Imported, err = store.Import(ctx, h.next)
	return err
}

// next returns the next row, and io.EOF after the last one of the last file.
// What is refused is noted.
func (h *histories) next() (results.Row, error) {
	for {
		if h.reader == nil {
			if err := h.begin(); err != nil {
				return results.Row{}, err
			}
		}
		m, err := h.reader.Next()
		switch {
		case err == io.EOF:
			h.close()
			continue
		case err != nil:
			return results.Row{}, fmt.Errorf("reading %s: %w", h.open.Name(), err)
		}
		h.report.Messages++
		h.progress.Count(int(h.report.Messages), 0, "message")
		if m.Why == "" {
			return m.Row, nil
		}
		h.refuse(m)
	}
}

func (h *histories) refuse(m opendmarc.Message) {
	h.report.Refused[string(m.Why)]++
	if len(h.report.Lines) < maxRefusals {
		h.report.Lines = append(h.report.Lines, refusedBlock{h.open.Name(), m.Line, string(m.Why)})
	}
}

// begin opens the next file.
func (h *histories) begin() (err error) {
	if len(h.files) == 0 {
		return io.EOF
	}
	name := h.files[0]
	h.files = h.files[1:]
	h.open = os.Stdin
	if name != "-" {
		if h.open, err = os.Open(name); err != nil {
			return err
		}
	}
	h.reader = opendmarc.NewReader(h.open, h.now)
	return nil
}

func (h *histories) close() {
	if h.reader != nil && h.open != os.Stdin {
		h.open.Close()
	}
	h.reader = nil
}

func (r *importReport) print(out, warn io.Writer, o ImportOptions) error {
	if o.JSON {
		return json.NewEncoder(out).Encode(r)
	}
	for _, b := range r.Lines {
		fmt.Fprintf(warn, "%s:%d: refused: %s\n", term.Printable(b.File), b.Line, b.Why)
	}
	var refused int64
	for _, n := range r.Refused {
		refused += n
	}
	if hidden := refused - int64(len(r.Lines)); hidden > 0 {
		fmt.Fprintf(warn, "%d more were refused\n", hidden)
	}
	if o.DryRun {
		_, err := fmt.Fprintf(out, "%d messages read: %d importable, %d refused\n", r.Messages, r.Messages-refused, refused)
		return err
	}
	_, err := fmt.Fprintf(out, "%d messages read: %d imported, %d already present, %d older than the retention, %d refused\n",
		r.Messages, r.Taken, r.Present, r.Expired, refused)
	return err
}
