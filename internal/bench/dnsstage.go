package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/metrics"

	"github.com/prometheus/client_golang/prometheus"
)

// What the name server of the cache knows: a DMARC record of 90 bytes for any
// name but those of keys, and nothing in absentZone.
const (
	ordinaryRecord = "v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc-reports@reports.example; adkim=r; fo=1"
	wildZone       = "wild.example"
	absentZone     = "absent.invalid"
)

// Beginning and end of names in wire form.
var (
	keyLabel  = []byte("\x0a_domainkey")
	absentEnd = []byte("\x07invalid\x00")
)

// cacheStage is a cache as the daemon has it, with metrics, and the name
// server behind it.
type cacheStage struct {
	server   *nameServer
	registry *prometheus.Registry
	dns      *dnscache.Resolver
}

// patience is how long an answer may take: one of a million lookups is not to
// fail because the machine was busy.
const patience = 10 * time.Second

// openCache makes an empty cache of so many bytes; 0 is the default.
func openCache(maxBytes uint64) (*cacheStage, error) {
	key, err := dkimtest.RSA(2048)
	if err != nil {
		return nil, err
	}
	policy, public := txtData(ordinaryRecord), txtData("v=DKIM1; k=rsa; p="+key.Public("spki"))
	s := &cacheStage{registry: prometheus.NewRegistry()}
	if s.server, err = serveNames(func(name []byte) []byte {
		switch {
		case bytes.HasSuffix(name, absentEnd):
			return nil
		case bytes.Contains(name, keyLabel):
			return public
		}
		return policy
	}); err != nil {
		return nil, err
	}
	s.dns, err = dnscache.New(dnscache.Config{
		Servers: []string{s.server.address()}, MaxBytes: maxBytes, QueryTimeout: patience, Timeout: 3 * patience,
	}, metrics.New(s.registry, nil))
	if err != nil {
		s.server.close()
		return nil, err
	}
	return s, nil
}

func (s *cacheStage) close() {
	s.dns.Close()
	s.server.close()
}

// gauge returns the value of a metric that has no labels.
func (s *cacheStage) gauge(name string) (float64, error) {
	families, err := s.registry.Gather()
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetGauge().GetValue(), nil
		}
	}
	return math.NaN(), fmt.Errorf("no metric %s (%w)", name, err)
}

// waiting is how many lookups go on at once.
const waiting = 32

// each looks up names 0 to n-1 of name, as DMARC does.
func (s *cacheStage) each(ctx context.Context, n int, name func(int) string) error {
	view := s.dns.View(dnscache.DMARC)
	return concurrent(waiting, n, func(i int) error {
		_, err := view.TXT(ctx, name(i))
		return err
	})
}

func dmarcName(i int) string { return fmt.Sprintf("_dmarc.d%07d.example", i) }
func keyName(i int) string   { return fmt.Sprintf("s1._domainkey.d%07d.example", i) }

// namesOf returns n names, each in memory of its own: none is the same string
// as the one in a cache, as those in mail are not.
func namesOf(n int, name func(int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = name(i)
	}
	return out
}

// parseKey does the dear part of what DKIM does with a key record.
func parseKey(txts []string) any {
	if len(txts) != 1 {
		return nil
	}
	_, text, _ := strings.Cut(txts[0], "p=")
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil
	}
	return key
}
