rule train_model:
    input:
        unpack(knowledge_inputs),
        questions=QUESTIONS,
    output:
        model=directory(f"{RESULTS}/runs/{{condition}}/seed-{{seed}}/model"),
        summary=f"{RESULTS}/runs/{{condition}}/seed-{{seed}}/training.json",
    log:
        f"{RESULTS}/logs/train/{{condition}}-{{seed}}.log",
    conda:
        "../envs/kformer.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=16000,
        runtime="12h",
    params:
        settings=train_settings,
        knowledge=knowledge_options,
        # Of its own, and no output: Snakemake deletes the outputs of a job that failed.
        checkpoints=f"{RESULTS}/checkpoints/{{condition}}-{{seed}}",
    shell:
        "kformer train --questions {input.questions} {params.knowledge}"
        f" --out {RESULTS}/runs/{{wildcards.condition}}/seed-{{wildcards.seed}}"
        " --checkpoints {params.checkpoints} --seed {wildcards.seed}"
        " --settings {params.settings:q} 2>&1 | tee {log}"
