package dkim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync"

	engine "github.com/emersion/go-msgauth/dkim"

	"dmarcgate/message"
)

// Resolver fetches key records. No record (NXDOMAIN or no data) is an empty
// list without an error; every error is temporary.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
}

// Run is the verification of one message. Its methods are called by one
// goroutine.
type Run struct {
	ctx        context.Context
	resolver   Resolver
	signatures []signature
	keys       map[string]*key
	message    bytes.Buffer // header and body as signed
	tooLong    bool
}

// signature is what we read of a DKIM-Signature field ourselves, because the
// engine does not tell it.
type signature struct {
	result Result
	key    string // name of the key record
	judged bool   // handed to the engine
}

var errBug = errors.New("panic in a key lookup")

// key is a key record on its way.
type key struct {
	done chan struct{}
	txts []string
	err  error
	bug  any // the panic with which the lookup ended: it belongs to the goroutine of the message
}

// Start begins the verification: all key lookups start now.
func Start(ctx context.Context, r Resolver, h message.Header) *Run {
	run := &Run{ctx: ctx, resolver: r, keys: make(map[string]*key)}
	for _, f := range h {
		small := len(f.Raw) <= maxField && bytes.Count(f.Raw, []byte("\n")) <= maxLines
		if strings.EqualFold(f.Name, "DKIM-Signature") {
			if len(run.signatures) == MaxSignatures {
				continue // not handed over: the engine counts on its own
			}
			run.signatures = append(run.signatures, read(f, small))
		}
		if small {
			run.message.Write(f.Raw)
		}
	}
	run.message.WriteString("\r\n")
	for _, s := range run.signatures {
		if s.judged {
			run.fetch(s.key)
		}
	}
	return run
}

func read(f message.Field, small bool) signature {
	if !small {
		return signature{result: Result{Status: Neutral, Reason: "signature field too long"}}
	}
	t := tags(f.Value())
	s := signature{judged: true, key: t["s"] + "._domainkey." + t["d"]}
	s.result = Result{Selector: t["s"], Algorithm: strings.ToLower(t["a"]), B: compact(t["b"])}
	if len(s.result.B) > 8 {
		s.result.B = s.result.B[:8]
	}
	if d, err := message.ParseDomain(t["d"]); err == nil {
		s.result.Domain = d
	}
	return s
}

// fetch starts the lookup of a key record, once for each name.
func (r *Run) fetch(name string) *key {
	if k, ok := r.keys[name]; ok {
		return k
	}
	k := &key{done: make(chan struct{})}
	r.keys[name] = k
	go func() {
		defer close(k.done)
		defer func() {
			if k.bug = recover(); k.bug != nil {
				k.bug = fmt.Sprintf("%v\n%s", k.bug, debug.Stack())
				k.err = errBug
			}
		}()
		k.txts, k.err = r.resolver.TXT(r.ctx, name)
	}()
	return k
}

// Domains returns the signing domains, so that what alignment needs can be
// looked up before the body has come.
func (r *Run) Domains() []string {
	var out []string
	for _, s := range r.signatures {
		if s.result.Domain != "" {
			out = append(out, s.result.Domain)
		}
	}
	return out
}

// Wanted reports whether the body is needed.
func (r *Run) Wanted() bool {
	for _, s := range r.signatures {
		if s.judged {
			return !r.tooLong
		}
	}
	return false
}

// Write takes the next part of the body. It never fails.
func (r *Run) Write(p []byte) (int, error) {
	switch {
	case !r.Wanted():
	case r.message.Len()+len(p) > maxBody:
		r.tooLong = true
		r.message = bytes.Buffer{}
	default:
		r.message.Write(p)
	}
	return len(p), nil
}

// Finish judges the signatures, in the order of their fields, and waits for
// the lookups that Start began; they end with the context.
func (r *Run) Finish() []Result {
	var out []Result
	verdicts := r.verify()
	for _, s := range r.signatures {
		res := s.result
		switch {
		case !s.judged:
		case r.tooLong:
			res.Status, res.Reason = Policy, "body larger than 50 MB is not verified"
		case len(verdicts) == 0:
			res.Status, res.Reason = PermError, "header cannot be read"
		default:
			r.judge(&res, s, verdicts[0])
			verdicts = verdicts[1:]
		}
		out = append(out, res)
	}
	for _, k := range r.keys {
		if <-k.done; k.bug != nil {
			panic(k.bug)
		}
	}
	return out
}

func (r *Run) verify() []*engine.Verification {
	if !r.Wanted() {
		return nil
	}
	mu := new(sync.Mutex) // the engine looks keys up from several goroutines
	verdicts, err := engine.VerifyWithOptions(bytes.NewReader(r.message.Bytes()), &engine.VerifyOptions{
		MaxVerifications: MaxSignatures,
		LookupTXT: func(name string) ([]string, error) {
			mu.Lock()
			k := r.fetch(name)
			mu.Unlock()
			return k.answer(name)
		},
	})
	if err != nil && !errors.Is(err, engine.ErrTooManySignatures) {
		return nil
	}
	return verdicts
}

// answer waits for the record. The engine tells errors by their type alone,
// so they are bare *net.DNSError.
func (k *key) answer(name string) ([]string, error) {
	<-k.done
	switch {
	case k.err != nil:
		return nil, &net.DNSError{Err: "temporary failure", Name: name, IsTemporary: true}
	case len(k.txts) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return k.txts, nil
}

// judge puts the engine's verdict into our words.
func (r *Run) judge(res *Result, s signature, v *engine.Verification) {
	k, err := r.keys[s.key], v.Err
	<-k.done
	res.KeyBits, res.Testing = describeKey(k.txts)
	switch {
	case err == nil && !s.agrees(v):
		res.Status, res.Reason = PermError, "d= cannot be told"
	case err == nil:
		res.Status, res.Reason = Pass, "signature verified"
	case engine.IsTempFail(err):
		res.Status, res.Reason, res.Err = TempError, "key lookup failed", k.err
	case engine.IsPermFail(err):
		res.Status, res.Reason = PermError, reason(err, "signature or key cannot be used")
	default:
		res.Status, res.Reason = Fail, reason(err, "signature did not verify")
	}
}

// reason repeats what is fixed in the engine's error; it may go on with text
// of the message or of the key record.
func reason(err error, otherwise string) string {
	for _, known := range []struct{ engine, ours string }{
		{"body hash did not verify", "body hash did not verify"},
		{"no key for signature", "no key record"},
		{"key revoked", "key revoked"},
		{"key is too short", "key too short"},
		{"signature has expired", "signature expired"},
		{"domain mismatch", "i= is not below d="},
		{"From field not signed", "From is not signed"},
		{"multiple TXT records", "several key records"},
	} {
		if strings.HasPrefix(err.Error(), "dkim: "+known.engine) {
			return known.ours
		}
	}
	return otherwise
}

// agrees reports whether the engine verified the domain that we read. It
// takes the last of two d= tags and removes blanks inside; a signature that
// can be read in two ways must authenticate nobody.
func (s signature) agrees(v *engine.Verification) bool {
	d, err := message.ParseDomain(v.Domain)
	return err == nil && d != "" && d == s.result.Domain
}
