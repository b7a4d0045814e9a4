from bench.domain.run import main

main()
