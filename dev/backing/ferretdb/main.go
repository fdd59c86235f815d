// Command ferretdb serves the MongoDB wire protocol out of a PostgreSQL database, for development machines that
// have no mongod. It is FerretDB's embeddable package with the two settings that a supervisor needs.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:27017", "address to serve at")
	flag.Parse()

	// A supervisor ends its children with SIGTERM, a person with Ctrl-C: both let what is under way finish.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	server, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{TCP: *listen},
		Handler:  "postgresql",
		// From the environment: it may hold a password, and arguments are for everybody to read.
		PostgreSQLURL: os.Getenv("FERRETDB_POSTGRESQL_URL"),
	})
	if err != nil {
		log.Fatal(err)
	}

	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
