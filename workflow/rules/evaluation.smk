rule evaluate_model:
    input:
        unpack(knowledge_inputs),
        questions=QUESTIONS,
        model=rules.train_model.output.model,
        summary=rules.train_model.output.summary,
    output:
        f"{RESULTS}/runs/{{condition}}/seed-{{seed}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/evaluate/{{condition}}-{{seed}}.log",
    conda:
        "../envs/kformer.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=16000,
        runtime="2h",
    params:
        knowledge=knowledge_options,
    shell:
        f"kformer evaluate --run {RESULTS}/runs/{{wildcards.condition}}/seed-{{wildcards.seed}}"
        " --questions {input.questions} {params.knowledge} --out {output} 2>&1 | tee {log}"


rule answer_by_retrieval:
    input:
        questions=QUESTIONS,
        retrieval=lambda wildcards: retrieval_table(CONDITIONS[wildcards.condition]),
    output:
        f"{RESULTS}/runs/{{condition}}/untrained/predictions.parquet",
    log:
        f"{RESULTS}/logs/evaluate/{{condition}}-untrained.log",
    conda:
        "../envs/kformer.yaml"
    shell:
        "kformer answer-by-retrieval --questions {input.questions}"
        " --retrieval {input.retrieval} --out {output} 2>&1 | tee {log}"


rule compare_conditions:
    input:
        [f"{run}/predictions.parquet" for run in RUNS],
    output:
        json=f"{RESULTS}/comparison.json",
        markdown=f"{RESULTS}/comparison.md",
        svg=report(
            f"{RESULTS}/accuracy.svg",
            category="Comparison",
            labels={"figure": "accuracy per condition, 95 % confidence intervals"},
        ),
        png=f"{RESULTS}/accuracy.png",
    log:
        f"{RESULTS}/logs/compare.log",
    conda:
        "../envs/kformer.yaml"
    params:
        runs=RUNS,
        baseline=EXPERIMENT.baseline,
    shell:
        f"kformer compare {{params.runs}} --experiment {NAME} --baseline {{params.baseline}}"
        f" --out {RESULTS} 2>&1 | tee {{log}}"
