// The Go SDK v2, each session with a configuration and a client of its own.
package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func session(calls, pause int) {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	client := sts.NewFromConfig(cfg, func(options *sts.Options) {
		options.EndpointResolver = sts.EndpointResolverFromURL(os.Getenv("ENDPOINT"))
	})
	for number := 0; number < calls; number++ {
		if number > 0 {
			time.Sleep(time.Duration(pause) * time.Second)
		}
		if _, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err != nil {
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
