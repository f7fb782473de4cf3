// The Go SDK v1, each session with a client of its own.
package main

import (
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/sts"
)

func run(calls, pause int) {
	own, err := session.NewSessionWithOptions(session.Options{
		Config:            aws.Config{Endpoint: aws.String(os.Getenv("ENDPOINT"))},
		SharedConfigState: session.SharedConfigEnable,
	})
	if err != nil {
		log.Fatal(err)
	}
	client := sts.New(own)
	for number := 0; number < calls; number++ {
		if number > 0 {
			time.Sleep(time.Duration(pause) * time.Second)
		}
		if _, err := client.GetCallerIdentity(&sts.GetCallerIdentityInput{}); err != nil {
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
		go func() { defer all.Done(); run(numbers[1], numbers[2]) }()
	}
	all.Wait()
}
