package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// attachmentSize is from where on a body is base64, as an attachment is;
// smaller ones are words.
const attachmentSize = 100 << 10

// lineLength is that of base64 in mail (RFC 2045, Section 6.8).
const lineLength = 76

// writeText returns an unsigned message of about p.size bytes.
func writeText(p plan, rng *rand.Rand) []byte {
	encoding, writeBody := "7bit", words
	if p.size >= attachmentSize {
		encoding, writeBody = "base64", base64Lines
	}
	var b bytes.Buffer
	writeHeader(&b, p.domain, encoding, rng)
	writeBody(&b, p.size, rng)
	return b.Bytes()
}

// writeHeader writes a header as senders of such mail write it.
func writeHeader(b *bytes.Buffer, domain int, encoding string, rng *rand.Rand) {
	author, org, ip, id := authorDomain(domain), orgDomain(domain), clientOf(domain), rng.Uint64()
	fmt.Fprintf(b, "Received: from app3.%s (app3.%s [10.0.3.7])\r\n\tby mx.%s with ESMTPS id %x\r\n\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n\tSat, 21 Nov 2026 10:00:02 +0000\r\n", org, org, org, id)
	fmt.Fprintf(b, "Received: from localhost (localhost [127.0.0.1])\r\n\tby app3.%s with ESMTP id %x;\r\n\tSat, 21 Nov 2026 10:00:01 +0000\r\n", org, id>>1)
	fmt.Fprintf(b, "Message-ID: <%x@%s>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n", id, author)
	fmt.Fprintf(b, "From: \"Customer Service\" <service@%s>\r\nTo: A. User <user@receiver.example>\r\nReply-To: help@%s\r\nSubject: Your order %x is on its way\r\n", author, author, id)
	fmt.Fprintf(b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n", encoding)
	fmt.Fprintf(b, "List-Unsubscribe: <https://%s/unsubscribe?id=%x>\r\nX-Originating-IP: [%s]\r\nX-Mailer: bench\r\n\r\n", org, id, ip)
}

var vocabulary = [...]string{"the", "parcel", "with", "your", "order", "leaves", "our", "house", "today", "and", "arrives", "on", "Tuesday", "invoice", "enclosed", "regards"}

// words fills b to about size bytes with lines of text.
func words(b *bytes.Buffer, size int, rng *rand.Rand) {
	column := 0
	for b.Len() < size-2 {
		w := vocabulary[rng.IntN(len(vocabulary))]
		if column += len(w) + 1; column >= lineLength {
			b.WriteString("\r\n")
			column = len(w)
		}
		b.WriteString(w + " ")
	}
	b.WriteString("\r\n")
}

// base64Lines fills b to about size bytes with lines of an attachment.
func base64Lines(b *bytes.Buffer, size int, rng *rand.Rand) {
	raw := make([]byte, 64) // a multiple of 8, and at least what is encoded
	line := make([]byte, 0, lineLength+2)
	for b.Len() < size {
		for i := 0; i < len(raw); i += 8 {
			binary.LittleEndian.PutUint64(raw[i:], rng.Uint64())
		}
		line = append(base64.StdEncoding.AppendEncode(line[:0], raw[:lineLength/4*3]), "\r\n"...)
		b.Write(line)
	}
}
