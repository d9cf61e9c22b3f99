package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"dmarcgate/admin"
	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/term"
)

// maxSorted is how many entries of a dump are sorted. A larger dump is printed
// as it comes: a cache may have millions of entries, and no order is worth
// their memory here.
const maxSorted = 10_000

// maxText bounds one text of the DNS in JSON: no record is read further.
const maxText = dmarc.MaxRecordBytes

// Dump prints the entries of the cache that the filter lets through.
func (s Session) Dump(ctx context.Context, filter admin.CacheFilter) error {
	list := dumpPrinter{Session: s}
	if err := s.Client.Dump(ctx, filter, list.add); err != nil {
		return err
	}
	return list.end()
}

// dumpPrinter prints entries: sorted when they are few, as they come otherwise.
type dumpPrinter struct {
	Session
	held []dnscache.Entry // not printed yet
	many bool
}

func (d *dumpPrinter) add(entry dnscache.Entry) error {
	if d.many {
		return d.print(entry)
	}
	if d.held = append(d.held, entry); len(d.held) <= maxSorted {
		return nil
	}
	d.many = true
	fmt.Fprintf(d.Warn, "more than %d entries: they are not sorted\n", maxSorted)
	return d.printHeld()
}

func (d *dumpPrinter) end() error {
	slices.SortFunc(d.held, func(a, b dnscache.Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	return d.printHeld()
}

func (d *dumpPrinter) printHeld() error {
	for _, entry := range d.held {
		if err := d.print(entry); err != nil {
			return err
		}
	}
	d.held = nil
	return nil
}

func (d *dumpPrinter) print(entry dnscache.Entry) error {
	if d.JSON {
		return d.encode(printableEntry(entry))
	}
	_, err := fmt.Fprintf(d.Out, "%s %s: %s\n", entry.Type, term.Printable(entry.Name), entry)
	return err
}

// Show prints the entries of one name. That there are none is an answer, too.
func (s Session) Show(name string) error {
	ctx, cancel := soon()
	defer cancel()
	list, err := s.Client.Show(ctx, name)
	if err != nil {
		return err
	}
	if s.JSON {
		for i := range list {
			list[i] = printableEntry(list[i])
		}
		return s.encode(list)
	}
	return entriesTree(name, list).Print(s.Out)
}

func entriesTree(name string, list []dnscache.Entry) *term.Node {
	root := &term.Node{Text: name}
	if len(list) == 0 {
		root.Add("nothing is cached")
	}
	for _, entry := range list {
		n := root.Add("%s (%s)", entry.Type, entry.State())
		if entry.Failure != "" {
			n.Add("the last lookup failed: %s", term.Printable(entry.Failure))
		}
		if entry.HasAnswer() {
			n.Answer(entry.Records, entry.NXDomain)
		}
	}
	return root
}

// Flush removes a name and those below it from the cache, and with "" everything.
func (s Session) Flush(name string) error {
	ctx, cancel := soon()
	defer cancel()
	var removed int
	var err error
	if name == "" {
		removed, err = s.Client.FlushAll(ctx)
	} else {
		removed, err = s.Client.Flush(ctx, name)
	}
	switch {
	case err != nil:
		return err
	case s.JSON:
		return s.encode(map[string]int{"removed": removed})
	}
	_, err = fmt.Fprintf(s.Out, "%d entries removed\n", removed)
	return err
}

// printableEntry bounds the foreign text of an entry for JSON.
func printableEntry(entry dnscache.Entry) dnscache.Entry {
	entry.Name, entry.Failure = term.Bounded(entry.Name, dmarc.MaxNameBytes), term.Printable(entry.Failure)
	for i, r := range entry.Records {
		entry.Records[i] = term.Bounded(r, maxText)
	}
	return entry
}
