package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"dmarcgate/admin"
	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/message"
	"dmarcgate/term"
)

// maxSorted is how many entries of a dump are sorted. A larger dump is printed
// as it comes: a cache may have millions of entries, and no order is worth
// their memory here.
const maxSorted = 10_000

// maxText bounds one text of the DNS in JSON: no record is read further.
const maxText = dmarc.MaxRecordBytes

// cacheTypes are the record types that are looked up.
var cacheTypes = []string{"A", "AAAA", "MX", "PTR", "SOA", "TXT"}

// cacheCmd is about the DNS cache of the running daemon.
type cacheCmd struct {
	Dump  cacheDumpCmd  `cmd:"" help:"Show all entries."`
	Show  cacheShowCmd  `cmd:"" help:"Show what is cached for a name."`
	Flush cacheFlushCmd `cmd:"" help:"Remove a name and all names below it, or everything."`
}

type cacheDumpCmd struct {
	controlFlags
	Type  string `help:"Only records of this type: A, AAAA, MX, PTR, SOA or TXT." placeholder:"TYPE"`
	Stale bool   `help:"Only what is past its TTL, and kept for when no server answers."`
	JSON  bool   `help:"Print JSON, one entry a line."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *cacheDumpCmd) Validate() error {
	c.Type = strings.ToUpper(c.Type)
	if c.Type != "" && !slices.Contains(cacheTypes, c.Type) {
		return fmt.Errorf("--type: %q is not one of %s", c.Type, strings.Join(cacheTypes, ", "))
	}
	return nil
}

func (c *cacheDumpCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	list := dumpPrinter{e: e, json: c.JSON}
	if err := client.Dump(ctx, admin.CacheFilter{Type: c.Type, Stale: c.Stale}, list.add); err != nil {
		return err
	}
	return list.end()
}

// dumpPrinter prints entries: sorted when they are few, as they come otherwise.
type dumpPrinter struct {
	e    *env
	json bool
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
	fmt.Fprintf(d.e.stderr, "more than %d entries: they are not sorted\n", maxSorted)
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
	if d.json {
		return json.NewEncoder(d.e.stdout).Encode(printableEntry(entry))
	}
	_, err := fmt.Fprintf(d.e.stdout, "%s %s: %s\n", entry.Type, term.Printable(entry.Name), entry)
	return err
}

type cacheShowCmd struct {
	controlFlags
	cacheName
	JSON bool `help:"Print JSON."`
}

// cacheName is the name that a command is about.
type cacheName struct {
	Name string `arg:"" help:"Name in the DNS, as _dmarc.example.com."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *cacheName) Validate() error {
	if c.Name == "" {
		return nil
	}
	name, err := message.ParseDomain(c.Name)
	if err != nil {
		return fmt.Errorf("%q is not a name: %w", c.Name, err)
	}
	c.Name = name
	return nil
}

// Validate is called by kong; what it finds is a usage error.
func (c *cacheShowCmd) Validate() error {
	if c.Name == "" {
		return errors.New("<name>: empty; write for example _dmarc.example.com")
	}
	return c.cacheName.Validate()
}

// Run shows the entries of one name. That there are none is an answer, too.
func (c *cacheShowCmd) Run(e *env) error {
	client, err := c.anyClient(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	list, err := client.Show(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		for i := range list {
			list[i] = printableEntry(list[i])
		}
		return json.NewEncoder(e.stdout).Encode(list)
	}
	return entriesTree(c.Name, list).Print(e.stdout)
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

type cacheFlushCmd struct {
	controlFlags
	Name string `arg:"" optional:"" help:"Name in the DNS; those below it are removed, too."`
	All  bool   `help:"Remove everything."`
	JSON bool   `help:"Print JSON."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *cacheFlushCmd) Validate() error {
	if (c.Name == "") == !c.All {
		return errors.New("give one name, or --all")
	}
	name := cacheName{c.Name}
	err := name.Validate()
	c.Name = name.Name
	return err
}

func (c *cacheFlushCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	var removed int
	if c.All {
		removed, err = client.FlushAll(ctx)
	} else {
		removed, err = client.Flush(ctx, c.Name)
	}
	switch {
	case err != nil:
		return err
	case c.JSON:
		return json.NewEncoder(e.stdout).Encode(map[string]int{"removed": removed})
	}
	_, err = fmt.Fprintf(e.stdout, "%d entries removed\n", removed)
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
