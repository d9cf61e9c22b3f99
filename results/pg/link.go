package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Link is one connection, which is lent to one user at a time, and made anew after
// a failure.
type Link struct {
	conf    Config
	name    string // what the server's own tables call it
	prepare func(ctx context.Context, conn *pgx.Conn) error
	free    chan struct{} // holds a token while nobody uses the connection
	conn    *pgx.Conn     // nil before the first use, and after a failure
}

// NewLink does not connect yet. prepare is called with each new connection.
func NewLink(conf Config, name string, prepare func(ctx context.Context, conn *pgx.Conn) error) *Link {
	l := &Link{conf: conf, name: name, prepare: prepare, free: make(chan struct{}, 1)}
	l.free <- struct{}{}
	return l
}

// With lends the connection for at most Config.Timeout.
func (l *Link) With(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.conf.timeout())
	defer cancel()
	select {
	case <-l.free:
		defer func() { l.free <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.conn == nil || l.conn.IsClosed() {
		if err := l.connect(ctx); err != nil {
			return err
		}
	}
	return f(ctx, l.conn)
}

// Close closes the connection. Another use makes a new one.
func (l *Link) Close() {
	<-l.free
	l.drop()
	l.free <- struct{}{}
}

func (l *Link) connect(ctx context.Context) (err error) {
	l.drop()
	if l.conn, err = l.conf.connect(ctx, l.name); err != nil {
		return err
	}
	if err = l.prepare(ctx, l.conn); err != nil {
		l.drop()
	}
	return err
}

func (l *Link) drop() {
	if l.conn != nil {
		hangUp(l.conn)
		l.conn = nil
	}
}

// Migrate makes the tables of this program, or finds those of a newer one usable. It
// is for connections of other rooms (NewLink).
func Migrate(ctx context.Context, conn *pgx.Conn) error { return migrate(ctx, conn) }
