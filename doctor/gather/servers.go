package gather

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"dmarcgate/config"
	"dmarcgate/dnscache/wire"
	"dmarcgate/doctor"
	"dmarcgate/policy"
	"dmarcgate/results/dbread"
	"dmarcgate/site"
)

const (
	queryTime  = 2 * time.Second // for a query to a name server; dns.query_timeout's default
	maxServers = 8               // that are asked: resolv.conf has three
	mailTime   = 4 * time.Second // for the newest messages
	maxMail    = 500             // messages that are looked at
)

// resolvers asks each name server for the text records of the root, which does
// not exist and is signed: an answer whose AD bit is set was validated.
func resolvers(ctx context.Context, cfg *config.Config) func(*doctor.Host) {
	list, err := site.ServerList(cfg.DNS, site.ResolvConf)
	if err != nil {
		return func(h *doctor.Host) { h.Unseen = append(h.Unseen, "name servers: "+err.Error()) }
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	out := make([]doctor.Resolver, min(len(list.Servers), maxServers))
	var wg sync.WaitGroup
	for n := range out {
		out[n].Address = list.Servers[n]
		for _, t := range list.Trusted {
			out[n].Trusted = out[n].Trusted || t == list.Servers[n]
		}
		wg.Go(func() { ask(ctx, &out[n]) })
	}
	wg.Wait()
	return func(h *doctor.Host) { h.Resolvers = out }
}

func ask(ctx context.Context, r *doctor.Resolver) {
	server, err := netip.ParseAddrPort(r.Address)
	if err != nil {
		return
	}
	query := wire.Query{Question: wire.Question{Type: dns.TypeTXT}, EDNS: true, AD: true}
	rep, err := wire.Send(ctx, "udp", server, query, func(string) {})
	if err == nil && rep.Failure() == 0 {
		r.Answers, r.Validates = true, rep.Answer.AD
	}
}

// mail reads where the newest messages came from.
func mail(ctx context.Context, cfg *config.Config) func(*doctor.Host) {
	if cfg.Store.Durability == "off" {
		return func(*doctor.Host) {}
	}
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	store, err := dbread.Open(ctx, cfg.Store.Path)
	if err != nil {
		err = site.StoreProblem(err, cfg.Store.Path)
		return func(h *doctor.Host) {
			if h.Daemon != nil { // else there may be no store yet
				h.Unseen = append(h.Unseen, "stored messages: "+err.Error())
			}
		}
	}
	defer store.Close()
	rows, err := store.Recent(ctx, maxMail)
	if err != nil {
		return func(h *doctor.Host) { h.Unseen = append(h.Unseen, "stored messages: "+err.Error()) }
	}
	samples := make([]doctor.Sample, 0, len(rows))
	for n := range rows {
		f := &rows[n].Facts
		samples = append(samples, doctor.Sample{Time: f.Time, Client: f.Client, Relayed: f.Relay.IsValid(), Skipped: f.Skip != policy.Evaluated})
	}
	return func(h *doctor.Host) { h.Mail = samples }
}
