package main

import "math/rand/v2"

// signing is how a message is signed.
type signing uint8

const (
	signRSA2048 signing = iota // by the author's domain
	signRSA1024                // by the author's domain
	signEd25519                // by the author's domain
	signTwoRSA                 // RSA-2048, by the author's domain and by its mail service
)

// fate is what becomes of a message on its way here.
type fate uint8

const (
	direct  fate = iota // arrives as it was sent: passes DMARC
	spoofed             // sent by somebody else, without a signature: fails
	altered             // its body was changed on the way, by another host: fails
)

func (f fate) passes() bool { return f == direct }

// plan is what one message of the mix is like.
type plan struct {
	size   int // bytes, header included
	sign   signing
	domain int // 0 is the domain with the most mail
	fate   fate
}

const (
	domains = 2000
	// zipfExponent gives the first domain about a sixth of the mail.
	zipfExponent = 1.1
)

// share is a value and how many of block messages have it.
type share[T any] struct {
	of    int
	value T
}

// block is the number of messages in which every share is exact.
const block = 100

var (
	sizeShares = []share[int]{{60, 2 << 10}, {30, 20 << 10}, {9, 200 << 10}, {1, 2 << 20}}
	signShares = []share[signing]{{75, signRSA2048}, {10, signRSA1024}, {5, signEd25519}, {10, signTwoRSA}}
	fateShares = []share[fate]{{80, direct}, {10, spoofed}, {10, altered}}
)

// makePlans returns the first n messages of the mix of a seed. A longer mix
// begins with a shorter one.
func makePlans(seed uint64, n int) []plan {
	sizes := deal(sizeShares, rand.New(rand.NewPCG(seed, 1)), n)
	signings := deal(signShares, rand.New(rand.NewPCG(seed, 2)), n)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(seed, 3)), zipfExponent, 1, domains-1)
	fates := deal(fateShares, rand.New(rand.NewPCG(seed, 4)), n)
	plans := make([]plan, n)
	for i := range plans {
		plans[i] = plan{sizes[i], signings[i], int(zipf.Uint64()), fates[i]}
	}
	return plans
}

// deal returns n values, in blocks that are shuffled each for itself.
func deal[T any](shares []share[T], rng *rand.Rand, n int) []T {
	var deck []T
	for _, s := range shares {
		for range s.of {
			deck = append(deck, s.value)
		}
	}
	var out []T
	for len(out) < n {
		rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		out = append(out, deck...)
	}
	return out[:n]
}

// maxSession is the most messages that one SMTP session has.
const maxSession = 5

// makeSessions puts messages of one client into SMTP sessions of 1 to
// maxSession messages. Every message is in one session.
func makeSessions(seed uint64, mails []*mail) [][]*mail {
	type open struct {
		mails []*mail
		most  int
	}
	rng := rand.New(rand.NewPCG(seed, 5))
	var out [][]*mail
	var order []*open
	clients := make(map[string]*open)
	for _, m := range mails {
		o := clients[m.client.String()]
		if o == nil {
			o = &open{most: 1 + rng.IntN(maxSession)}
			clients[m.client.String()] = o
			order = append(order, o)
		}
		if o.mails = append(o.mails, m); len(o.mails) == o.most {
			out = append(out, o.mails)
			*o = open{most: 1 + rng.IntN(maxSession)}
		}
	}
	for _, o := range order {
		if len(o.mails) > 0 {
			out = append(out, o.mails)
		}
	}
	return out
}
