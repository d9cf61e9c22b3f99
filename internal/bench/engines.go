package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"dmarcgate/internal/dkimtest"
)

// kind is what the text of a body is like.
type kind struct {
	name  string
	write func(b *bytes.Buffer, size int, rng *rand.Rand)
	dense bool // in white space that relaxed changes
}

var kinds = []kind{
	{"base64", base64Lines, false},
	{"prose", prose, false},
	{"HTML", htmlLines, true},
}

// What is promised of the engines. Ratios of CPU, the medians of which count.
const (
	timesFaster       = 4   // than the library, relaxed, from halfSize up
	timesFasterDense  = 2   // the same, where white space is dense
	timesFasterSimple = 2.5 // the same, simple
	overFloor         = 2.0 // times what cannot be left out, relaxed, at wholeSize
	overFloorSimple   = 1.3 // the same, simple
	overOneSignature  = 1.2 // three signatures to one
	dmarcObjects      = 30  // allocations for discovery, evaluation and decision
	dmarcOverRSA      = 0.5 // discovery, evaluation and decision to one RSA-2048 verification

	halfSize  = 50 << 10
	wholeSize = 1 << 20
)

// Places of the contenders in a contest of engines.
const (
	placeOurs = iota
	placeLib
	placeFloor
)

// fullEngines are the options of a run; work has one measurement take a few
// milliseconds.
var fullEngines = engineOptions{sizes: []int{2 << 10, halfSize, wholeSize}, work: 4 << 20, long: 100 << 20}

// maxCalls is how often the smallest letter is verified for it.
const maxCalls = 100

// engineStage is what the contests are made from.
type engineStage struct {
	engineOptions
	key    dkimtest.Key
	record keyRecord
	floor  floorKeys

	verdictObjects float64 // allocated for one verdict of DMARC
}

func newEngineStage(opts engineOptions) (*engineStage, error) {
	key, err := dkimtest.RSA(2048)
	if err != nil {
		return nil, err
	}
	floor, err := newFloorKeys()
	return &engineStage{engineOptions: opts, key: key, record: keyRecord{"v=DKIM1; k=rsa; p=" + key.Public("spki")}, floor: floor}, err
}

// unsigned returns a message with about size bytes of body.
func (s *engineStage) unsigned(k kind, size int) []byte {
	rng := rand.New(rand.NewPCG(s.seed, uint64(size)))
	var b, body bytes.Buffer
	writeHeader(&b, 1, "7bit", rng)
	k.write(&body, size, rng)
	b.Write(body.Bytes())
	return b.Bytes()
}

// letter returns a message with signatures of its domain.
func (s *engineStage) letter(k kind, size int, simple bool, times int) (letter, error) {
	text, sign := s.unsigned(k, size), s.key.Sign
	if simple {
		sign = s.key.SignSimple
	}
	for i := range times {
		var err error
		if text, err = sign(text, orgDomain(1), fmt.Sprintf("s%d", i)); err != nil {
			return letter{}, err
		}
	}
	return newLetter(text, times), nil
}

// calls returns how often a letter is verified in one measurement.
func (s *engineStage) calls(size int) int { return min(max(s.work/size, 1), maxCalls) }

// single returns a contest for each kind, canonicalization and size.
func (s *engineStage) single() ([]*contest, error) {
	var out []*contest
	for _, k := range kinds {
		for _, simple := range []bool{false, true} {
			for _, size := range s.sizes {
				l, err := s.letter(k, size, simple, 1)
				if err != nil {
					return nil, err
				}
				c := &contest{group: "one signature", title: title(k, simple, size), calls: s.calls(size), wants: promised(k, simple, size)}
				if c.contenders, err = s.record.contend(l, s.floor); err != nil {
					return nil, err
				}
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// promised returns the bounds of a contest: against the library, then against
// the floor.
func promised(k kind, simple bool, size int) []want {
	lib := want{title: "lib/ours", over: placeLib, under: placeOurs, least: 1}
	floor := want{title: "ours/b", over: placeOurs, under: placeFloor}
	switch {
	case size < halfSize:
	case simple:
		lib.least = timesFasterSimple
	case k.dense:
		lib.least = timesFasterDense
	default:
		lib.least = timesFaster
	}
	switch {
	case size < wholeSize:
	case simple:
		floor.atMost = overFloorSimple
	case !k.dense:
		floor.atMost = overFloor
	}
	return []want{lib, floor}
}

// several returns contests of three signatures and one, of ours alone.
func (s *engineStage) several() ([]*contest, error) {
	var out []*contest
	for _, simple := range []bool{false, true} {
		for _, size := range s.sizes[1:] {
			c := &contest{group: "three signatures", title: title(kinds[0], simple, size), calls: s.calls(size)}
			for _, times := range []int{3, 1} {
				l, err := s.letter(kinds[0], size, simple, times)
				if err != nil {
					return nil, err
				}
				contenders, err := s.record.contend(l, s.floor)
				if err != nil {
					return nil, err
				}
				for i := range contenders {
					contenders[i].name = fmt.Sprintf("%d: %s", times, contenders[i].name)
				}
				c.contenders = append(c.contenders, contenders...)
			}
			c.wants = []want{
				{title: "3/1 ours", over: placeOurs, under: rivals + placeOurs, atMost: overOneSignature},
				{title: "3/1 b", over: placeFloor, under: rivals + placeFloor},
				{title: "lib/ours of 3", over: placeLib, under: placeOurs, least: 1},
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// rivals is how many contenders a letter has.
const rivals = 3

func title(k kind, simple bool, size int) string {
	return fmt.Sprintf("%s, %s, %s", k.name, canonName(simple), sizeName(size))
}

func canonName(simple bool) string {
	if simple {
		return "simple"
	}
	return "relaxed"
}

func sizeName(size int) string {
	if size >= 1<<20 {
		return fmt.Sprintf("%d MB", size>>20)
	}
	return fmt.Sprintf("%d KB", size>>10)
}

// spfCalls is how many checks one measurement of SPF has.
const spfCalls = 300

func (s *engineStage) spf() ([]*contest, error) {
	return []*contest{{
		group: "SPF, from memory", title: "three records", calls: min(s.work, spfCalls), contenders: threeRecords.contend(),
		wants: []want{{title: "lib/ours", over: placeLib, under: placeOurs, least: 1}},
	}}, nil
}

// engineOptions say how much is measured.
type engineOptions struct {
	seed   uint64
	repeat int
	sizes  []int // of bodies, ascending; three signatures have all but the first
	work   int   // about how many bytes one measurement has verified
	long   int   // the body that shows that memory does not grow
}

// compareEngines holds all contests and prints what came of them.
func compareEngines(ctx context.Context, opts engineOptions, w, progress io.Writer) error {
	begin := time.Now()
	fmt.Fprintln(progress, "engines: signing messages")
	s, err := newEngineStage(opts)
	if err != nil {
		return err
	}
	var groups []group
	var all []*contest
	for _, contestsOf := range []func() ([]*contest, error){s.single, s.several, s.spf, s.dmarc, s.crafted} {
		contests, err := contestsOf()
		if err != nil {
			return err
		}
		groups, all = append(groups, contests), append(all, contests...)
	}
	fmt.Fprintf(progress, "engines: %d comparisons, %d repetitions, load %s\n", len(all), opts.repeat, load())
	if err := hold(ctx, all, opts.repeat); err != nil {
		return err
	}
	facts, err := s.facts(ctx)
	if err != nil {
		return err
	}
	out := printer{w: w}
	out.line("Engines: CPU in ms, medians of %d repetitions, ratios with (least-most); %v, load %s.", opts.repeat, time.Since(begin).Round(time.Second), load())
	out.line("lib is go-msgauth for DKIM and blitiri for SPF; b is SHA-256 of the body and of the header and an RSA-2048 verification for each signature.\n")
	for _, g := range groups {
		out.table(g)
	}
	for _, f := range facts {
		out.line("%s", f)
	}
	return out.err
}

// facts are what is no comparison of CPU.
func (s *engineStage) facts(ctx context.Context) ([]string, error) {
	out, err := s.memory()
	if err != nil {
		return nil, err
	}
	out = append(out, fmt.Sprintf("DMARC: %.1f allocations for discovery, evaluation and decision; want at most %d: %s",
		s.verdictObjects, dmarcObjects, verdict(s.verdictObjects <= dmarcObjects)))
	left, err := s.abandon(ctx)
	return append(out, left), err
}
