package dnscache

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"dmarcgate/dnscache/wire"
	"dmarcgate/scope"

	"github.com/miekg/dns"
)

// Entry is what the cache holds of one question, for an operator. In JSON its
// durations are whole seconds.
type Entry struct {
	Name, Type string        // Name is foreign text
	Records    []string      // addresses in their text form
	NXDomain   bool          // the name itself does not exist
	AD         bool          // validated by a trusted server
	Stale      bool          // past its TTL: given only while there is no newer answer
	Failure    string        // the Kind of a remembered failure; with records, these are the last answer before it
	Age        time.Duration // since the answer, or else the failure
	TTL        time.Duration // until the answer is stale, or else the failure forgotten; 0 when stale
	Bytes      int           // of the cache, estimated
}

// entryJSON is Entry as JSON has it.
type entryJSON struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	Records    []string `json:"records,omitempty"`
	NXDomain   bool     `json:"nxdomain"`
	AD         bool     `json:"ad"`
	Stale      bool     `json:"stale"`
	Failure    string   `json:"failure,omitempty"`
	AgeSeconds int64    `json:"age_seconds"`
	TTLSeconds int64    `json:"ttl_seconds"`
	Bytes      int      `json:"bytes"`
}

// MarshalJSON writes the entry with its durations rounded down to seconds.
func (e Entry) MarshalJSON() ([]byte, error) {
	return json.Marshal(entryJSON{
		e.Name, e.Type, e.Records, e.NXDomain, e.AD, e.Stale, e.Failure,
		int64(e.Age / time.Second), int64(e.TTL / time.Second), e.Bytes,
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Entry) UnmarshalJSON(text []byte) error {
	var j entryJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*e = Entry{
		j.Name, j.Type, j.Records, j.NXDomain, j.AD, j.Stale, j.Failure,
		time.Duration(j.AgeSeconds) * time.Second, time.Duration(j.TTLSeconds) * time.Second, j.Bytes,
	}
	return nil
}

// Bytes returns how much the cache holds by its own estimate, in bytes.
func (r *Resolver) Bytes() int64 { return int64(r.cache.WeightedSize()) }

// Dump calls f with each entry, in no order, until f returns false. It is safe
// beside lookups, and is no use of the entries in the eyes of eviction.
func (r *Resolver) Dump(f func(Entry) bool) {
	for k, e := range r.cache.All() {
		if !f(describe(k, e, r.clock.NowNano())) {
			return
		}
	}
}

// types are those that views ask for.
var types = [...]uint16{dns.TypeTXT, dns.TypeMX, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeSOA}

// Show returns the entries of one name, by type; none for what cannot be a name.
func (r *Resolver) Show(name string) []Entry {
	name, ok := wire.Clean(name)
	if !ok {
		return nil
	}
	var list []Entry
	for _, qtype := range types {
		k := key{Type: qtype, Name: name}
		if e, now := r.peek(k); e != nil {
			list = append(list, describe(k, e, now))
		}
	}
	return list
}

func describe(k key, e *entry, now int64) Entry {
	d := Entry{
		Name: k.Name, Type: dns.TypeToString[k.Type], Records: e.texts(), NXDomain: e.NXDomain, AD: e.AD,
		Bytes: int(weigh(k, e)),
	}
	if e.failing(now) {
		d.Failure = kindOfError(e.failed.err).String()
	}
	if e.known() {
		d.Stale, d.Age, d.TTL = !e.fresh(now), e.age(now), e.left(now)
	} else {
		d.Age, d.TTL = time.Duration(now-e.failed.at), max(0, time.Duration(e.failed.until-now))
	}
	return d
}

func kindOfError(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// texts returns the data of the answer as text.
func (e *entry) texts() []string {
	list := slices.Clone(e.Records)
	for _, ip := range e.Addrs {
		list = append(list, ip.String())
	}
	return list
}

// Flush forgets what is known of name and of every name below it, failures
// too, and returns how many entries that were. Who waits for an answer still
// gets it, but it is not kept: whoever asks later asks anew.
func (r *Resolver) Flush(name string) int {
	name, ok := wire.Clean(name)
	if !ok {
		return 0
	}
	return r.flush(func(k key) bool { return scope.AtOrBelow(k.Name, name) })
}

// FlushAll forgets everything, as Flush does.
func (r *Resolver) FlushAll() int {
	return r.flush(func(key) bool { return true })
}

func (r *Resolver) flush(named func(key) bool) int {
	r.mu.Lock()
	for k, f := range r.flights {
		if named(k) {
			f.flushed = true
			delete(r.flights, k)
		}
	}
	r.mu.Unlock()
	n := 0
	for k := range r.cache.Keys() {
		if !named(k) {
			continue
		}
		if _, was := r.cache.Invalidate(k); was {
			r.metrics.CacheEvicted("flushed")
			n++
		}
	}
	r.measure()
	return n
}
