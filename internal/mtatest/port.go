package mtatest

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

// freePort returns a loopback port on which nobody listens, neither over TCP
// nor over UDP.
func freePort() (int, error) {
	for range portTries {
		port := firstPort + rand.IntN(portCount)
		if portFree(port) {
			return port, nil
		}
	}
	return 0, errNoPort
}

func portFree(port int) bool {
	addr := loopback(port)
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

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
