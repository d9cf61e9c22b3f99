package main

import (
	"slices"
	"testing"

	"dmarcgate/internal/miltertest"
)

func TestEveryHundredMessagesHaveTheSharesOfTheMix(t *testing.T) {
	plans := makePlans(1, 5*block)
	for i := 0; i < len(plans); i += block {
		sizes, signings, fates := make(map[int]int), make(map[signing]int), make(map[fate]int)
		for _, p := range plans[i : i+block] {
			sizes[p.size]++
			signings[p.sign]++
			fates[p.fate]++
		}
		for size, want := range map[int]int{2 << 10: 60, 20 << 10: 30, 200 << 10: 9, 2 << 20: 1} {
			if sizes[size] != want {
				t.Errorf("messages of %d bytes after %d = %d; want %d", size, i, sizes[size], want)
			}
		}
		for sign, want := range map[signing]int{signRSA2048: 75, signRSA1024: 10, signEd25519: 5, signTwoRSA: 10} {
			if signings[sign] != want {
				t.Errorf("messages of signing %d after %d = %d; want %d", sign, i, signings[sign], want)
			}
		}
		for f, want := range map[fate]int{direct: 80, spoofed: 10, altered: 10} {
			if fates[f] != want {
				t.Errorf("messages of fate %d after %d = %d; want %d", f, i, fates[f], want)
			}
		}
	}
}

func TestTheSeedDecidesTheMix(t *testing.T) {
	long := makePlans(7, 350)
	if short := makePlans(7, 120); !slices.Equal(short, long[:120]) {
		t.Error("a shorter mix of the same seed is not the beginning of the longer one")
	}
	if other := makePlans(8, 350); slices.Equal(other, long) {
		t.Error("another seed gives the same mix")
	}
}

func TestDomainsFollowZipf(t *testing.T) {
	const n = 20000
	counts := make(map[int]int)
	for _, p := range makePlans(1, n) {
		if p.domain < 0 || p.domain >= domains {
			t.Fatalf("domain %d; want 0 to %d", p.domain, domains-1)
		}
		counts[p.domain]++
	}
	if first := counts[0]; first < n/8 || first > n/4 {
		t.Errorf("mail of the first domain = %d of %d; want about a sixth", first, n)
	}
	if counts[0] < counts[1] || counts[1] < counts[10] || counts[10] < counts[500] {
		t.Errorf("mail of domains 0, 1, 10, 500 = %d, %d, %d, %d; want it to fall", counts[0], counts[1], counts[10], counts[500])
	}
	if len(counts) < domains/2 {
		t.Errorf("domains with mail = %d; want most of %d", len(counts), domains)
	}
}

func TestSessionsHaveEveryMessageOnceAndOneClientEach(t *testing.T) {
	c := testCorpus(t)
	seen, longest := make(map[*mail]int), 0
	for _, session := range c.sessions {
		longest = max(longest, len(session))
		for _, m := range session {
			seen[m]++
			if m.client != session[0].client {
				t.Errorf("a session has messages of %v and %v", session[0].client, m.client)
			}
		}
	}
	if longest < 2 || longest > maxSession {
		t.Errorf("the longest session has %d messages; want 2 to %d", longest, maxSession)
	}
	for i, m := range c.mails {
		if seen[m] != 1 {
			t.Errorf("message %d is in %d sessions; want 1", i, seen[m])
		}
	}
	n := 0
	for _, session := range c.play(250) {
		n += len(session)
	}
	if n != 250 {
		t.Errorf("play(250) has %d messages", n)
	}
}

func TestAnswersMustBeThoseThatTheMessageHasEarned(t *testing.T) {
	passes := miltertest.Edit{Op: miltertest.OpInsert, Name: "Authentication-Results", Value: "mx; dkim=pass header.d=a.example; dmarc=pass"}
	accepted := miltertest.Result{Reply: miltertest.Reply{Action: miltertest.Continue}, Edits: []miltertest.Edit{passes}}
	unmarked := miltertest.Result{Reply: miltertest.Reply{Action: miltertest.Continue}}
	refused := miltertest.Result{Reply: miltertest.Reply{Action: miltertest.ReplyCode, Code: 550}}
	deferred := miltertest.Result{Reply: miltertest.Reply{Action: miltertest.ReplyCode, Code: 451}}
	for _, tt := range []struct {
		name    string
		fate    fate
		replies []miltertest.Result
		ok      bool
	}{
		{"delivered", direct, []miltertest.Result{accepted}, true},
		{"delivered by the second milter, marked by the first", direct, []miltertest.Result{accepted, unmarked}, true},
		{"delivered without results", direct, []miltertest.Result{unmarked}, false},
		{"refused though it passes", direct, []miltertest.Result{refused}, false},
		{"spoof refused", spoofed, []miltertest.Result{accepted, refused}, true},
		{"spoof delivered", spoofed, []miltertest.Result{accepted}, false},
		{"spoof deferred", altered, []miltertest.Result{deferred}, false},
	} {
		if err := checkAnswers(&mail{plan: plan{fate: tt.fate}}, tt.replies); (err == nil) != tt.ok {
			t.Errorf("checkAnswers, %s: %v; want no error: %v", tt.name, err, tt.ok)
		}
	}
}
