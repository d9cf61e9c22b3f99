package pg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	connectTimeout = 10 * time.Second
	// DefaultTimeout is the time that a batch or a query may take.
	DefaultTimeout = 30 * time.Second
	// closeTimeout is for a farewell to the server.
	closeTimeout = time.Second
	// maxPassword is far above what anybody types.
	maxPassword = 4096
)

// ErrSchema means that the database is of a newer program, which changed what
// this one relies on.
var ErrSchema = errors.New("the database is too new for this program")

// Config says which database, and how long its rows are kept.
type Config struct {
	// URL is as postgres://user@host/database?sslmode=verify-full. Without
	// sslmode, a server that is not on this host has to prove who it is
	// (verify-full).
	URL string
	// PasswordFile holds the password in its first line, a systemd credential
	// for example. It is read again for each connection.
	PasswordFile string
	// RetentionDays is how many days are kept; 0 keeps all. Any host's Shipper
	// drops what is older, so let all say the same.
	RetentionDays int
	// Timeout is how long a batch or a query may take; 0 is DefaultTimeout.
	Timeout time.Duration
}

// Check reports what is wrong with the settings, without connecting.
func (c Config) Check() error {
	_, err := c.parse("")
	return err
}

func (c Config) timeout() time.Duration { return cmp.Or(c.Timeout, DefaultTimeout) }

// connect makes a connection. name is what the server's own tables call it.
// Certificates and password are read anew, since both are renewed from time to
// time.
func (c Config) connect(ctx context.Context, name string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conf, err := c.parse(name)
	if err != nil {
		return nil, err
	}
	if c.PasswordFile != "" {
		if conf.Password, err = readPassword(c.PasswordFile); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, conf)
}

// parse reads the URL, and adds what every session of ours asks the server
// for.
func (c Config) parse(name string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("the URL of PostgreSQL cannot be read") // it may hold a password
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the URL of PostgreSQL does not begin with postgres://")
	}
	conf, err := pgx.ParseConfig(c.URL)
	if err == nil && !u.Query().Has("sslmode") && !local(conf) {
		q := u.Query()
		q.Set("sslmode", "verify-full")
		u.RawQuery = q.Encode()
		conf, err = pgx.ParseConfig(u.String())
	}
	if err != nil {
		return nil, fmt.Errorf("the URL of PostgreSQL: %w", err)
	}
	limit := strconv.FormatInt(c.timeout().Milliseconds(), 10)
	for key, value := range map[string]string{
		"application_name":                    name,
		"statement_timeout":                   limit,
		"lock_timeout":                        limit,
		"idle_in_transaction_session_timeout": limit,
		// A server that still waits for a host that is gone holds its lock.
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
		"timezone": "UTC",
	} {
		conf.RuntimeParams[key] = value
	}
	return conf, nil
}

// local reports whether no server of the URL is on another host.
func local(conf *pgx.ConnConfig) bool {
	hosts := []string{conf.Host}
	for _, f := range conf.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		addr, err := netip.ParseAddr(host)
		loopback := host == "localhost" || err == nil && addr.IsLoopback()
		if !loopback && !strings.HasPrefix(host, "/") {
			return false
		}
	}
	return true
}

func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the password of PostgreSQL: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPassword))
	if err != nil {
		return "", fmt.Errorf("the password of PostgreSQL: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return "", fmt.Errorf("the password of PostgreSQL: %s has none in its first line", path)
	}
	return string(line), nil
}

// hangUp closes a connection in bounded time, whatever the server does.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
	_ = conn.PgConn().Conn().Close()
}
