package reports

import (
	"context"
	"errors"
	"fmt"
	"io"

	"dmarcgate/config"
	"dmarcgate/report/queue"
	"dmarcgate/results"
)

// Purge deletes from the queue what a person deletes from stored results, and tells warn.
// Hosts that share a PostgreSQL have their queue there: it is meant with postgres, else
// the file of this host is. Without a queue nothing is done. socket is that of Change.
func Purge(ctx context.Context, warn io.Writer, cfg *config.Config, socket string, p results.Purge, postgres bool) error {
	if postgres != (cfg.Store.Postgres.URL != "") {
		return nil
	}
	q, err := openToRead(ctx, cfg)
	if errors.Is(err, errNoQueue) {
		return nil
	}
	if err == nil {
		err = q.Close()
	}
	meant := purgeOf(p)
	if err == nil {
		err = order(ctx, warn, cfg, socket, queue.Order{Do: queue.Delete, Purge: meant})
	}
	if err != nil {
		return fmt.Errorf("the results are deleted, but aggregate reports made from them are not: %w", err)
	}
	what := "aggregate reports made from them"
	switch {
	case meant.Domain != "":
		what = "aggregate reports about the domain, addresses there, and documents of reports that are delivered"
	case meant.Documents:
		what = "documents of aggregate reports that are delivered"
	}
	_, err = fmt.Fprintln(warn, "dmarcgate: deleted as well: "+what)
	return err
}

// purgeOf is a purge of results in the words of the queue. Documents are compressed, and
// are not searched for clients, signers and recipients: those that may name what is meant
// go.
func purgeOf(p results.Purge) queue.Purge {
	if p.Client.IsValid() {
		return queue.Purge{Before: p.Before, Documents: true}
	}
	return queue.Purge{Before: p.Before, Domain: p.Domain, Documents: p.Domain != ""}
}
