// Package childtest is for tests that start programs: a program that ends with the
// test process, a port for a server to listen on, waiting until it is ready, and the
// processes of the host. It is test support.
//
// Limits: Linux.
package childtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from below those that the kernel gives to outgoing
// connections (32768 and up, ip_local_port_range): between our look and the
// server's bind, such a connection could take the port away.
const (
	firstPort = 20000
	portCount = 12000
	portTries = 100
)

var errNoPort = errors.New("no free loopback port found")

// FreePort returns a loopback port on which nobody listens, neither over TCP
// nor over UDP.
func FreePort() (int, error) {
	for range portTries {
		port := firstPort + rand.IntN(portCount)
		if portFree(port) {
			return port, nil
		}
	}
	return 0, errNoPort
}

func portFree(port int) bool {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	p.Close()
	return true
}
