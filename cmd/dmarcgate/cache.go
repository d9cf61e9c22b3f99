package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"dmarcgate/admin"
	"dmarcgate/message"
)

// cacheTypes are the record types that are looked up.
var cacheTypes = []string{"A", "AAAA", "MX", "PTR", "SOA", "TXT"}

// cacheCmd is about the DNS cache of the running daemon.
type cacheCmd struct {
	Dump  cacheDumpCmd  `cmd:"" help:"Print all cache entries."`
	Show  cacheShowCmd  `cmd:"" help:"Print the cache entries of a name."`
	Flush cacheFlushCmd `cmd:"" help:"Remove a name and all names below it from the cache, or all entries."`
}

type cacheDumpCmd struct {
	controlFlags
	Type  string `help:"Print only records of this type: A, AAAA, MX, PTR, SOA or TXT (default: all)." placeholder:"TYPE"`
	Stale bool   `help:"Print only stale entries, kept after their TTL for DNS outages."`
	JSON  bool   `help:"Print JSON, one entry per line."`
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
	s, err := c.session(e, c.JSON)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return s.Dump(ctx, admin.CacheFilter{Type: c.Type, Stale: c.Stale})
}

type cacheShowCmd struct {
	controlFlags
	cacheName
	JSON bool `help:"Print JSON."`
}

// cacheName is the name that a command is about.
type cacheName struct {
	Name string `arg:"" help:"Print the entries of this DNS name, for example _dmarc.example.com."`
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

func (c *cacheShowCmd) Run(e *env) error {
	s, err := c.anySession(e, c.JSON)
	if err != nil {
		return err
	}
	return s.Show(c.Name)
}

type cacheFlushCmd struct {
	controlFlags
	Name string `arg:"" optional:"" help:"Remove this DNS name and all names below it."`
	All  bool   `help:"Remove all entries."`
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
	s, err := c.session(e, c.JSON)
	if err != nil {
		return err
	}
	return s.Flush(c.Name) // empty with --all
}
