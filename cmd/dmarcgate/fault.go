//go:build fault

package main

import (
	"bytes"
	"context"
	"net/netip"

	"dmarcgate/enforce"
	"dmarcgate/milter"
)

// planted begins the Subject of a message that makes a daemon built with the
// tag fault panic. The stage follows: start, write, finish or sent in the
// goroutine of the message; spf, dkim or dmarc in those that look things up
// for it.
const planted = "planted panic: "

// wrapHandler plants the panics.
func wrapHandler(h milter.Handler) milter.Handler { return faulty{h} }

type faulty struct{ milter.Handler }

func (f faulty) Start(ctx context.Context, env *milter.Envelope, header [][]byte) milter.Message {
	m := faultyMessage{stage: plantedStage(header)}
	m.explodeAt("start")
	h := f.Handler
	if gate, ok := h.(*enforce.Gate); ok {
		h = withFaultyLookups(gate, m.stage)
	}
	m.Message = h.Start(ctx, env, header)
	return m
}

func plantedStage(header [][]byte) string {
	for _, field := range header {
		if stage, ok := bytes.CutPrefix(field, []byte("Subject: "+planted)); ok {
			return string(bytes.TrimSpace(stage))
		}
	}
	return ""
}

type faultyMessage struct {
	milter.Message
	stage string
}

func (m faultyMessage) explodeAt(stage string) {
	if m.stage == stage {
		panic("planted at " + stage)
	}
}

func (m faultyMessage) Write(p []byte) (int, error) {
	m.explodeAt("write")
	return m.Message.Write(p)
}

func (m faultyMessage) Finish() milter.Answer {
	m.explodeAt("finish")
	a := m.Message.Finish()
	told := a.Sent
	a.Sent = func(err error) {
		m.explodeAt("sent")
		told(err)
	}
	return a
}

// withFaultyLookups returns a gate for one message, in which the lookups of
// the stage panic.
func withFaultyLookups(g *enforce.Gate, stage string) milter.Handler {
	now := *g.Snapshot.Load()
	checker := *now.Checker
	checker.Memory = nil // what is remembered is not looked up
	switch stage {
	case "spf":
		checker.SPF = faultyDNS{stage}
	case "dkim":
		checker.DKIM = faultyDNS{stage}
	case "dmarc":
		finder := *checker.Finder
		finder.Resolver = faultyDNS{stage}
		checker.Finder = &finder
	default:
		return g
	}
	now.Checker = &checker
	one := &enforce.Gate{
		Listener: g.Listener, Store: g.Store, Deferrals: g.Deferrals, Metrics: g.Metrics, Log: g.Log, Now: g.Now,
		History: g.History, Observe: g.Observe,
	}
	one.Snapshot.Store(&now)
	return one
}

// faultyDNS panics whatever it is asked.
type faultyDNS struct{ stage string }

func (f faultyDNS) explode() { panic("planted at " + f.stage) }

func (f faultyDNS) TXT(context.Context, string) ([]string, error)      { f.explode(); return nil, nil }
func (f faultyDNS) A(context.Context, string) ([]netip.Addr, error)    { f.explode(); return nil, nil }
func (f faultyDNS) AAAA(context.Context, string) ([]netip.Addr, error) { f.explode(); return nil, nil }
func (f faultyDNS) MX(context.Context, string) ([]string, error)       { f.explode(); return nil, nil }
func (f faultyDNS) PTR(context.Context, netip.Addr) ([]string, error)  { f.explode(); return nil, nil }
func (f faultyDNS) Exists(context.Context, string) (bool, error)       { f.explode(); return false, nil }
