USE_OF_FACTS_QUESTIONS = EXPERIMENT.evaluation.use_of_facts_questions
UNTRAINED_RUN = STUDY.run("{condition}", None)


rule evaluate_model:
    input:
        unpack(tables_of_training),
        model=ancient(rules.train_model.output.model),
        summary=rules.train_model.output.summary,
        plan=STUDY.plan("evaluation"),
    output:
        TRAINED_RUN.predictions,
    log:
        STUDY.log("evaluate", "{condition}-{seed}"),
    conda:
        "../envs/kformer.yaml"
    threads: lambda wildcards: TRAINING_THREADS[wildcards.condition]
    resources:
        gpu=GPU,
        mem_mb=memory_needed,
        runtime="2h",
    params:
        tables=options_of_tables,
        run=lambda wildcards: STUDY.run(wildcards.condition, wildcards.seed).path,
    shell:
        "kformer evaluate --run {params.run} {params.tables} --out {output} 2>&1 | tee {log}"


rule measure_use_of_facts:
    input:
        unpack(tables_without_states),
        model=ancient(rules.train_model.output.model),
        summary=rules.train_model.output.summary,
        # Of the same model; both write into one MLflow run, one after the other.
        predictions=rules.evaluate_model.output,
        questions=ancient(STUDY.questions),
        facts=facts_of_condition,
        plan=STUDY.plan("use_of_facts"),
    output:
        TRAINED_RUN.use_of_facts,
    log:
        STUDY.log("use_of_facts", "{condition}-{seed}"),
    conda:
        "../envs/kformer.yaml"
    threads: lambda wildcards: TRAINING_THREADS[wildcards.condition]
    resources:
        gpu=GPU,
        mem_mb=memory_needed,
        runtime="2h",
    params:
        # Derived, as Snakemake calls it: the plan has it.
        sample=lambda wildcards, resources: USE_OF_FACTS_QUESTIONS,
        run=lambda wildcards: STUDY.run(wildcards.condition, wildcards.seed).path,
    shell:
        "kformer use-of-facts --run {params.run} --question-tokens {input.question_tokens}"
        " --fact-tokens {input.fact_tokens} --retrieval {input.retrieval}"
        " --questions {input.questions} --facts {input.facts} --sample {params.sample}"
        " --out {output} 2>&1 | tee {log}"


rule answer_by_retrieval:
    input:
        questions=ancient(STUDY.questions),
        retrieval=retrieved_for,
        plan=STUDY.plan("{condition}-untrained"),
    output:
        UNTRAINED_RUN.predictions,
    log:
        STUDY.log("evaluate", "{condition}-untrained"),
    conda:
        "../envs/kformer.yaml"
    shell:
        "kformer answer-by-retrieval --questions {input.questions}"
        " --retrieval {input.retrieval} --out {output} 2>&1 | tee {log}"


rule compare_conditions:
    input:
        [run.predictions for run in STUDY.runs],
        [table for run in STUDY.runs for table in STUDY.use_of_facts(run)],
        [run.summary for run in STUDY.runs if run.seed is not None],
        questions=ancient(STUDY.questions),
        plan=STUDY.plan("comparison"),
    output:
        numbers=STUDY.comparison.numbers,
        page=STUDY.comparison.page,
        svg=report(
            STUDY.comparison.svg,
            category="Comparison",
            labels={"figure": "accuracy per condition, 95 % confidence intervals"},
        ),
        png=STUDY.comparison.png,
        ladders=figures_of_ladders(),
        provenance=STUDY.comparison.provenance,
    log:
        STUDY.log("compare", "all"),
    conda:
        "../envs/kformer.yaml"
    params:
        runs=[run.path for run in STUDY.runs],
        baseline=EXPERIMENT.baseline,
        ladders=as_json([ladder.model_dump(mode="json") for ladder in LADDERS]),
        # Tables may be there of a time when the study asked for them.
        use="--use-of-facts" if USE_OF_FACTS_QUESTIONS else "--no-use-of-facts",
    shell:
        f"(kformer compare {{params.runs}} --experiment {EXPERIMENT.experiment}"
        " --questions {input.questions} --baseline {params.baseline} --ladders {params.ladders:q}"
        " {params.use}"
        f" --out {STUDY.folder}"
        f" && kformer provenance {EXPERIMENT.experiment} --out {{output.provenance}})"
        " 2>&1 | tee {log}"


rule write_report:
    input:
        [run.predictions for run in STUDY.runs],
        [run.summary for run in STUDY.runs if run.seed is not None],
        [ancient(table) for table in dict.fromkeys(ABOUT.facts.values())],
        [ancient(found.numbers) for found in ABOUT.retrievals],
        comparison=STUDY.comparison.numbers,
        questions=ancient(STUDY.questions),
        provenance=STUDY.comparison.provenance,
        plan=STUDY.plan("report"),
    output:
        page=report(
            STUDY.comparison.report, category="Report", labels={"page": "all results"}
        ),
        tables=directory(STUDY.comparison.tables),
    log:
        STUDY.log("report", "all"),
    conda:
        "../envs/kformer.yaml"
    params:
        runs=[run.path for run in STUDY.runs],
        about=as_json(ABOUT),
    shell:
        "kformer report {params.runs} --comparison {input.comparison}"
        " --questions {input.questions} --provenance {input.provenance} --about {params.about:q}"
        " --out {output.page} --tables {output.tables} 2>&1 | tee {log}"


# Only where the config does not keep all of them.
rule drop_models:
    input:
        STUDY.comparison.numbers,
    output:
        paths.kept_models(STUDY.folder),
    log:
        STUDY.log("drop_models", "all"),
    conda:
        "../envs/kformer.yaml"
    params:
        kept=[each.training.keep_models for each in STUDY.conditions.values()],
    shell:
        f"kformer drop-models {EXPERIMENT.experiment} --out {{output}} 2>&1 | tee {{log}}"
