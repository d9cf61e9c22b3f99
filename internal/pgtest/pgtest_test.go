//go:build mta

package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func count(t *testing.T, url, sql string) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAServerKeepsItsRowsWhenItIsKilledAndStartedAgain(t *testing.T) {
	s := Start(t)
	url := s.Database()
	s.Exec(url, "CREATE TABLE a (n int); INSERT INTO a VALUES (1), (2)")
	s.Kill()
	s.Restart()
	if got := count(t, url, "SELECT count(*) FROM a"); got != 2 {
		t.Errorf("rows after a crash = %d; want 2", got)
	}
}

func TestAPausedServerAnswersNobody(t *testing.T) {
	s := Start(t)
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := conn.Ping(ctx); err == nil {
		t.Error("Ping() of a paused server = nil; want an error")
	}
	s.Resume()
	if got := count(t, s.URL("postgres"), "SELECT 1"); got != 1 {
		t.Errorf("answer after Resume = %d; want 1", got)
	}
}

// What a client sees is the same in both cases: an error in answer to its
// commit.
func TestTheProxyLosesACommitOrItsAcknowledgement(t *testing.T) {
	s := Start(t)
	s.Exec(s.URL("postgres"), "CREATE TABLE a (n int)")
	p := s.Proxy(t)
	tests := []struct {
		name string
		lose func(int)
		want int
	}{
		{"the commit never arrives", p.LoseCommits, 0},
		{"the commit is done and nobody hears of it", p.LoseAcknowledgements, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := pgx.Connect(t.Context(), p.URL("postgres"))
			if err != nil {
				t.Fatal(err)
			}
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "INSERT INTO a VALUES (1)"); err != nil {
				t.Fatal(err)
			}
			tt.lose(1)
			if err := tx.Commit(t.Context()); err == nil {
				t.Error("Commit() = nil; want an error")
			}
			if got := count(t, s.URL("postgres"), "SELECT count(*) FROM a"); got != tt.want {
				t.Errorf("rows = %d; want %d", got, tt.want)
			}
		})
	}
	if got := p.Lost(); got != 2 {
		t.Errorf("Lost() = %d; want 2", got)
	}
}

func TestACutProxyDropsEverybody(t *testing.T) {
	s := Start(t)
	p := s.Proxy(t)
	conn, err := pgx.Connect(t.Context(), p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("Ping() through a cut proxy = nil; want an error")
	}
	if _, err := pgx.Connect(t.Context(), p.URL("postgres")); err == nil {
		t.Error("Connect() through a cut proxy = nil; want an error")
	}
	p.Fix()
	if got := count(t, p.URL("postgres"), "SELECT 1"); got != 1 {
		t.Errorf("answer after Fix = %d; want 1", got)
	}
}
