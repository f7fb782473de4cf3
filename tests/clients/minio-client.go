// minio-go, each session with a client of its own. It reads `credential_process` from the section of the file that it is
// told, whatever its name.
package main

import (
	"context"
	"io"
	"log"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func session(calls, pause int) {
	endpoint, err := url.Parse(os.Getenv("ENDPOINT"))
	if err != nil {
		log.Fatal(err)
	}
	config := os.Getenv("HOME") + "/.aws/config"
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  credentials.NewFileAWSCredentials(config, "profile "+os.Getenv("AWS_PROFILE")),
		Region: "eu-west-1",
	})
	if err != nil {
		log.Fatal(err)
	}
	for number := 0; number < calls; number++ {
		if number > 0 {
			time.Sleep(time.Duration(pause) * time.Second)
		}
		object, err := client.GetObject(context.Background(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := io.ReadAll(object); err != nil {
			log.Fatal(err)
		}
	}
}

func main() {
	var numbers [3]int
	for i := range numbers {
		numbers[i], _ = strconv.Atoi(os.Args[i+1])
	}
	var all sync.WaitGroup
	for i := 0; i < numbers[0]; i++ {
		all.Add(1)
		go func() { defer all.Done(); session(numbers[1], numbers[2]) }()
	}
	all.Wait()
}
